/** How many versions the replies in view have: the kernel is asked for all of them at once. */

import type { Connection } from "../kernel/connection";

export interface Count {
  version: number;
  versions: number;
}

type Take = (turn: string, count: Count | undefined) => void;

/** The versions of the replies of one notebook. */
export class Versions {
  private readonly wanted = new Map<string, Set<Take>>(); // by the id of a turn
  private timer = 0;

  constructor(private readonly connection: Connection) {
    connection.statusChanged.connect(this.schedule, this);
  }

  /** Call `take` as soon as the kernel has said it. A kernel that is not connected is not asked. */
  want(turn: string, take: Take): void {
    const takes = this.wanted.get(turn) ?? new Set();
    this.wanted.set(turn, takes.add(take));
    this.schedule();
  }

  /** The one who wanted to know is gone. An answer that is on its way still comes. */
  forget(turn: string, take: Take): void {
    const takes = this.wanted.get(turn);
    if (takes?.delete(take) && !takes.size) this.wanted.delete(turn);
  }

  private schedule(): void {
    if (this.timer || !this.wanted.size || this.connection.status !== "ready") return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      void this.ask();
    });
  }

  private async ask(): Promise<void> {
    if (this.connection.status !== "ready") return;
    const wanted = [...this.wanted].slice(0, 200);
    for (const [turn] of wanted) this.wanted.delete(turn);
    try {
      const { turns } = await this.connection.ask("turn", { action: "versions", turns: wanted.map(([turn]) => turn) });
      for (const [turn, takes] of wanted) for (const take of takes) take(turn, turns[turn]);
    } catch {
      // The kernel was restarted: when the pointer is on the reply again, it is asked again.
    }
    this.schedule();
  }
}
