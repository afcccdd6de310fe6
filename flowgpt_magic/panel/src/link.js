/** Messages between the page and the kernel. */

/** @import { Message, Model } from "./types.js" */

/**
 * A pending request.
 * @typedef {{resolve: (answer: any) => void, reject: (error: Error) => void}} Waiting
 */

export class Link {
  /**
   * @param {Model} model
   * @param {(message: Message) => void} hear gets what the kernel says without being asked
   */
  constructor(model, hear) {
    this.model = model;
    this.page = Array.from(crypto.getRandomValues(new Uint32Array(2)), (number) => number.toString(36)).join("");
    this.waiting = /** @type {Map<number, Waiting>} */ (new Map()); // by the id of a request
    this.next = 1;
    this.lostBefore = 0; // requests with a smaller id were sent before the connection was lost
    this.alive = true;
    this.heard = (/** @type {any} */ message, /** @type {DataView<ArrayBuffer>[]} */ buffers = []) => {
      if (message.page && message.page !== this.page) return;
      if (message.kind === "answer") this.answered(buffers.length ? { ...message, buffers } : message);
      else hear(message);
    };
    model.on("msg:custom", this.heard);
  }

  /** @param {{id: number, error?: string}} answer */
  answered(answer) {
    const waiting = this.waiting.get(answer.id);
    this.waiting.delete(answer.id);
    if (answer.error !== undefined) waiting?.reject(new Error(answer.error));
    else waiting?.resolve(answer);
  }

  /**
   * Send a message that needs no answer.
   * @param {string} kind
   * @param {object} [more]
   */
  tell(kind, more = {}) {
    if (this.alive) this.model.send({ kind, page: this.page, ...more });
  }

  /**
   * Send a request and return the kernel's answer, with its `buffers` if it has any. Rejects with an error message for the person.
   * @param {string} kind
   * @param {object} [more]
   * @param {ArrayBuffer[]} [buffers] are sent as they are, beside the message
   * @returns {Promise<any>}
   */
  ask(kind, more = {}, buffers) {
    if (!this.alive) return Promise.reject(new Error("The kernel cannot be reached."));
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.model.send({ kind, id, page: this.page, ...more }, undefined, buffers);
    });
  }

  /** The connection was lost. Pending requests may still be answered until it works again. */
  interrupted() {
    this.lostBefore = this.next;
  }

  /** Give up the requests from before the connection was lost. */
  giveUp() {
    for (const [id, { reject }] of [...this.waiting]) {
      if (id >= this.lostBefore) continue;
      this.waiting.delete(id);
      reject(new Error("The connection to the kernel was lost before it could answer: check whether this was done before you do it again."));
    }
    this.lostBefore = 0;
  }

  /**
   * Give up all requests.
   * @param {string} why
   */
  lost(why) {
    this.alive = false;
    for (const { reject } of this.waiting.values()) reject(new Error(why));
    this.waiting.clear();
  }

  close() {
    this.tell("gone");
    this.model.off("msg:custom", this.heard);
  }
}
