// Before the terminal's script runs (on load): where its web socket is, wherever this page was reached.
const socket = new URL("ws", window.location.href);
socket.protocol = window.location.protocol === "https:" ? "wss:" : "ws:";
socket.search = "";
const terminal = document.getElementById("terminal");
terminal.dataset.sessionWebsocketUrl = socket.href;
const size = new URLSearchParams(window.location.search).get("fontsize");
if (size && /^\d{1,2}$/.test(size)) terminal.dataset.fontSize = size;
document.getElementById("again").addEventListener("click", () => window.location.reload());
