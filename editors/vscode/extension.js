// Starts `collectivelint server` for the Python files of the workspace, and again when its settings change.
"use strict";

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;
// One start or stop at a time.
let last = Promise.resolve();

function command() {
  const settings = vscode.workspace.getConfiguration("collectivelint");
  const confidence = settings.get("minConfidence");
  const chosen = confidence ? ["--min-confidence", confidence] : [];
  return { command: settings.get("path"), args: ["server", ...chosen, ...settings.get("args")] };
}

async function stop() {
  const running = client;
  client = undefined;
  if (running !== undefined) {
    await running.dispose();
  }
}

async function start() {
  await stop();
  const started = new LanguageClient("collectivelint", "collectivelint", command(), {
    documentSelector: [{ scheme: "file", language: "python" }],
  });
  try {
    await started.start();
    client = started;
  } catch (error) {
    const { command: path } = command();
    vscode.window.showErrorMessage(
      `collectivelint: \`${path} server\` cannot be started: ${error.message}. ` +
        "Install it with pip install 'collectivelint[lsp]', or set collectivelint.path."
    );
  }
}

function restart() {
  last = last.then(start, start);
  return last;
}

function activate(context) {
  context.subscriptions.push(
    vscode.commands.registerCommand("collectivelint.restart", restart),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("collectivelint")) {
        restart();
      }
    })
  );
  return restart();
}

function deactivate() {
  last = last.then(stop, stop);
  return last;
}

module.exports = { activate, deactivate };
