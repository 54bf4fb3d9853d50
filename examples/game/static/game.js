// The board: the job's text, move by move. Who comes late has the whole game from the snapshot.

import { ENDED, Streaming, fold } from "/v1/streaming.js";

const COLUMNS = 7, ROWS = 6;
const $ = (id) => document.getElementById(id);
const id = document.querySelector("main").dataset.job;
const client = new Streaming();
let job = null;

$("name").value = sessionStorage.getItem("name") ?? "";
$("name").oninput = () => {
  sessionStorage.setItem("name", $("name").value);
  draw();
};
for (let column = 0; column < COLUMNS; column += 1) {
  const button = document.createElement("button");
  button.append(...Array.from({ length: ROWS }, () => document.createElement("i")));
  button.onclick = () => move(column);
  $("board").append(button);
}

async function move(column) {
  try {
    await client.answer(id, { by: $("name").value, column });
  } catch (problem) {
    $("said").textContent = problem.message;
  }
}

/** @param {string} text */
const movesOf = (text) => text.split("\n").slice(0, -1).map((line) => line.split(" "));

function draw() {
  const moves = movesOf(job.text);
  const players = [...new Set(moves.map(([by]) => by))];
  const columns = [...$("board").children];
  for (const [column, button] of columns.entries()) {
    const here = moves.filter(([, each]) => Number(each) === column).map(([by]) => by);
    for (const [row, disc] of [...button.children].entries()) {
      disc.className = ["first", "second"][players.indexOf(here[row])] ?? "";
    }
    button.disabled = !mayMove(moves, players) || here.length === ROWS;
    button.ariaLabel = `Column ${column + 1}: ${here.join(", ") || "empty"}`;
  }
  $("said").textContent = told(moves, players);
}

function mayMove(moves, players) {
  const name = $("name").value;
  const next = players[moves.length % 2];
  return /^\w+$/.test(name) && !ENDED.includes(job.status) && (next ? next === name : !players.includes(name));
}

function told(moves, players) {
  if (job.status === "completed") return job.output.winner ? `${job.output.winner} has won` : "Nobody has won";
  if (ENDED.includes(job.status)) return `The game is ${job.status}`;
  if (mayMove(moves, players)) return "It is your turn";
  const next = players[moves.length % 2];
  return next ? `It is ${next}'s turn` : $("name").value ? "Waiting for another player" : "Say your name to play";
}

client.watch(id, {
  from: "snapshot",
  onEvent: (event) => {
    job = fold(job, event);
    draw();
  },
});
