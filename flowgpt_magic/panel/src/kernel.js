/** The kernel's status, if the front end shows it to widgets. */

/** @import { Model, Signal } from "./types.js" */

const GONE = ["restarting", "autorestarting", "dead"]; // statuses in which the kernel is gone

export class Kernel {
  /**
   * @param {Model} model
   * @param {() => void} changed is called when the kernel comes or goes
   */
  constructor(model, changed) {
    this.manager = model.widget_manager;
    this.cleanups = /** @type {(() => void)[]} */ ([]);
    this.gone = false; // the kernel was restarted or has ended, and no longer knows the panel
    const context = this.manager?.context?.sessionContext;
    this.connect(context?.statusChanged, (_sender, status) => {
      if ([...GONE, "terminating"].includes(status)) this.gone = true;
      changed();
    });
    this.connect(context?.connectionStatusChanged, () => changed());
    this.connect(context?.kernelChanged, (_sender, { oldValue, newValue }) => {
      if (oldValue && oldValue.id !== newValue?.id) this.gone = true;
      changed();
    });
    const live = () => {
      if (this.kernel && GONE.includes(this.kernel.status ?? "")) this.gone = true;
      changed();
    };
    model.on("comm_live_update", live);
    this.cleanups.push(() => model.off("comm_live_update", live));
  }

  /**
   * @param {Signal | undefined} signal
   * @param {(sender: any, about: any) => void} slot
   */
  connect(signal, slot) {
    if (!signal?.connect) return;
    signal.connect(slot);
    this.cleanups.push(() => signal.disconnect(slot));
  }

  get kernel() {
    return this.manager?.kernel ?? this.manager?.context?.sessionContext?.session?.kernel ?? null;
  }

  get reachable() {
    return !this.gone && !["connecting", "disconnected"].includes(this.kernel?.connectionStatus ?? "");
  }

  get busy() {
    return this.kernel?.status === "busy";
  }

  close() {
    for (const cleanup of this.cleanups) cleanup();
  }
}
