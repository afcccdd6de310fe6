/** Brings the settings to the kernel of one notebook. */

import { JSONExt, type JSONObject } from "@lumino/coreutils";

import type { Connection } from "../kernel/connection";
import { early } from "./preferences";

const ENDED = ["restarting", "autorestarting", "dead", "terminating"];
const UNREACHABLE = ["none", "dead", "foreign"];

/**
 * What one kernel has got. It is sent nothing as long as nothing is set. It is not asked to connect either, before the
 * person runs a cell that may ask a model.
 */
export class Delivery {
  private sentEarly: JSONObject = {}; // to the kernel as it runs now

  constructor(
    private readonly connection: Connection,
    private readonly chosen: () => JSONObject,
    private readonly warn: (notice?: string) => void,
  ) {
    connection.statusChanged.connect(() => void this.deliver());
    connection.sessionContext.kernelChanged.connect(() => (this.sentEarly = {}));
    connection.sessionContext.statusChanged.connect((_context, status) => {
      if (ENDED.includes(status)) this.sentEarly = {};
    });
    void this.deliver();
  }

  /** Send the settings if the kernel is connected and has others. */
  async deliver(): Promise<void> {
    const { hello, status } = this.connection;
    if (status !== "ready" || !hello?.preferences) return;
    const values = this.chosen();
    if (JSONExt.deepEqual(values, hello.preferences)) return this.warn(hello.notice);
    hello.preferences = values;
    try {
      const { notice } = await this.connection.ask("preferences", { settings: values });
      hello.notice = notice;
      this.warn(notice);
    } catch {
      // The kernel has ended meanwhile. The next one gets them when it is connected.
    }
  }

  /** Send the settings ahead of a cell that is about to be sent, if the kernel is not connected yet. */
  deliverEarly(): void {
    const { kernel, status } = this.connection;
    const values = this.chosen();
    if (!kernel || status === "ready" || UNREACHABLE.includes(status)) return;
    if (JSONExt.deepEqual(values, this.sentEarly)) return;
    this.sentEarly = values;
    const content = { code: "", silent: true, store_history: false, user_expressions: { sent: early(values) } };
    const sent = kernel.requestExecute(content).done;
    void sent.then(() => this.connection.connect()).catch(() => undefined); // the kernel has ended: the next one is told
  }
}
