/** Messages between the page and the kernel, and what the page knows of the kernel. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { load, Model } from "./page.mjs";

const { Link } = await load("link.js");
const { Kernel } = await load("kernel.js");

/** A link, and what it hears. */
function linked() {
  const model = new Model();
  const heard = [];
  return { model, heard, link: new Link(model, (message) => heard.push(message)) };
}

test("an answer goes to who asked, and to nobody else", async () => {
  const { model, heard, link } = linked();
  const [first, second] = [link.ask("search", { words: "a" }), link.ask("search", { words: "b" })];
  model.say({ kind: "answer", page: link.page, id: 2, found: ["b"] });
  model.say({ kind: "answer", page: link.page, id: 1, found: ["a"] });

  assert.deepEqual((await first).found, ["a"]);
  assert.deepEqual((await second).found, ["b"]);
  assert.deepEqual(heard, []);
});

test("an error of the kernel is the error of who asked", async () => {
  const { model, link } = linked();
  const asked = link.ask("retry");
  model.say({ kind: "answer", page: link.page, id: 1, error: "there is no turn" });

  await assert.rejects(asked, { message: "there is no turn" });
});

test("what is meant for another page is not heard", () => {
  const { model, heard, link } = linked();
  model.say({ kind: "outline", page: "another" });
  model.say({ kind: "models" });
  model.say({ kind: "turn", page: link.page });

  assert.deepEqual(heard.map(({ kind }) => kind), ["models", "turn"]);
});

test("what was asked before the connection was lost is given up, and nothing else", async () => {
  const { model, link } = linked();
  const before = link.ask("new");
  link.interrupted();
  const after = link.ask("undo");
  link.giveUp();

  await assert.rejects(before, /was lost before it could answer/);
  model.say({ kind: "answer", page: link.page, id: 2, said: "done" });
  assert.equal((await after).said, "done");
});

test("without a kernel nothing is sent, and who waits is told why", async () => {
  const { model, link } = linked();
  const asked = link.ask("new");
  link.lost("The kernel has ended.");

  await assert.rejects(asked, { message: "The kernel has ended." });
  await assert.rejects(link.ask("new"), { message: "The kernel cannot be reached." });
  link.tell("shown");
  assert.deepEqual(model.sent.map(({ kind }) => kind), ["new"]);
});

test("a link that is closed says so and hears nothing more", () => {
  const { model, heard, link } = linked();
  link.close();
  model.say({ kind: "models" });

  assert.equal(model.last("gone").page, link.page);
  assert.deepEqual(heard, []);
});

/** A signal of the front end. */
class Signal {
  slots = [];

  connect(slot) { this.slots.push(slot); }
  disconnect(slot) { this.slots = this.slots.filter((other) => other !== slot); }
  emit(about) { for (const slot of this.slots) slot(this, about); }
}

/** What JupyterLab lets a widget see of the kernel. */
function frontEnd() {
  const kernel = { status: "idle", connectionStatus: "connected" };
  const sessionContext = { statusChanged: new Signal(), connectionStatusChanged: new Signal(), kernelChanged: new Signal() };
  return { kernel, context: { sessionContext } };
}

test("a kernel that restarts is gone, and a connection that breaks is not", () => {
  const manager = frontEnd();
  let changes = 0;
  const kernel = new Kernel(new Model({}, manager), () => { changes += 1; });
  manager.kernel.connectionStatus = "disconnected";
  manager.context.sessionContext.connectionStatusChanged.emit();
  assert.deepEqual([kernel.reachable, kernel.gone], [false, false]);

  manager.kernel.connectionStatus = "connected";
  assert.equal(kernel.reachable, true);

  manager.context.sessionContext.statusChanged.emit("restarting");
  assert.deepEqual([kernel.reachable, kernel.gone, changes], [false, true, 2]);
});

test("another kernel in the place of this one means that this one is gone", () => {
  const manager = frontEnd();
  const kernel = new Kernel(new Model({}, manager), () => {});
  const { kernelChanged } = manager.context.sessionContext;
  kernelChanged.emit({ oldValue: null, newValue: { id: "1" } });
  kernelChanged.emit({ oldValue: { id: "1" }, newValue: { id: "1" } });
  assert.equal(kernel.gone, false);

  kernelChanged.emit({ oldValue: { id: "1" }, newValue: { id: "2" } });
  assert.equal(kernel.gone, true);
});

test("a kernel that is not told of any more is not listened to", () => {
  const manager = frontEnd();
  const model = new Model({}, manager);
  const kernel = new Kernel(model, () => assert.fail("nobody asked"));
  kernel.close();
  for (const signal of Object.values(manager.context.sessionContext)) signal.emit("dead");
  model.emit("comm_live_update");

  assert.equal(kernel.gone, false);
});

test("a front end that shows no kernel has one that can be reached", () => {
  const kernel = new Kernel(new Model(), () => {});

  assert.deepEqual([kernel.kernel, kernel.reachable, kernel.busy], [null, true, false]);
});
