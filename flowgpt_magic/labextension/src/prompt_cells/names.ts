/** What a notebook's kernel knows of the names and models in its prompts. */

import type { ISessionContext } from "@jupyterlab/apputils";
import type { KernelMessage } from "@jupyterlab/services";

import type { Connection } from "../kernel/connection";

const PAUSE = 300; // ms after a cell or a keystroke before the kernel is asked

/** An editor of a prompt. */
export interface Prompt {
  /** The names of variables in the prompt. */
  readonly names: ReadonlySet<string>;
  /** The word that names the model if the kernel has one of that name; empty if there is none. */
  readonly bare: string;
  /** Called when the kernel knows other names than before. */
  refresh(): void;
}

interface Answer {
  known: string[];
  missing: string[];
  models: string[];
  magics: string[];
}

/** What the kernel of one notebook answered. It is asked only while there are prompts. */
export class KernelNames {
  private readonly prompts = new Set<Prompt>();
  private known = new Set<string>();
  private missing = new Set<string>();
  private models = new Set<string>();
  private asked = new Set<string>(); // names and words that the kernel has answered for
  private _magics: readonly string[] = ["flowgpt"];
  private timer = 0;
  private isAsking = false;
  private isOld = false; // is what the kernel is being asked to be asked once more?
  private readonly running = new Set<string>(); // requests to run a cell
  private hasCandidate = false; // is there a cell that is a prompt if its magic is ours?

  constructor(
    private readonly connection: Connection,
    private readonly magicsChanged: () => void,
  ) {
    this._magics = connection.hello?.magics ?? this._magics;
    connection.statusChanged.connect(this.connected, this);
    connection.sessionContext.iopubMessage.connect(this.overhear, this);
  }

  /** The names of the cell magics that are ours; `ai` is another package's until the kernel says otherwise. */
  get magics(): readonly string[] {
    return this._magics;
  }

  isKnown(name: string): boolean {
    return this.known.has(name);
  }

  isMissing(name: string): boolean {
    return this.missing.has(name);
  }

  /** Did the kernel say something of this name? */
  isAnswered(name: string): boolean {
    return this.asked.has(name);
  }

  isModel(word: string): boolean {
    return this.models.has(word);
  }

  /** There is a cell that is a prompt if the kernel says that its magic is ours. */
  consider(): void {
    this.hasCandidate = true;
    this.connection.connect();
  }

  join(prompt: Prompt): void {
    this.prompts.add(prompt);
    this.connection.connect();
    this.look(prompt);
  }

  leave(prompt: Prompt): void {
    this.prompts.delete(prompt);
  }

  /** A prompt has changed: ask for the names that are new. */
  look({ names, bare }: Prompt): void {
    if ((bare && !this.asked.has(bare)) || [...names].some((name) => !this.asked.has(name))) this.askSoon();
  }

  dispose(): void {
    window.clearTimeout(this.timer);
    this.prompts.clear();
  }

  private connected(): void {
    this.setMagics(this.connection.hello?.magics);
    if (this.connection.status !== "ready") this.take({ known: [], missing: [], models: [], magics: [] }, new Set());
    else this.askSoon();
  }

  private setMagics(magics: readonly string[] = ["flowgpt"]): void {
    if (magics.join() === this._magics.join()) return;
    this._magics = magics;
    this.magicsChanged();
  }

  /** Ask again when a cell has run, whoever ran it. */
  private overhear(_context: ISessionContext, message: KernelMessage.IMessage): void {
    const request = (message.parent_header as Partial<KernelMessage.IHeader>).msg_id ?? "";
    if (message.header.msg_type === "execute_input") this.running.add(request);
    const { execution_state } = message.content as { execution_state?: string };
    if (execution_state === "idle" && this.running.delete(request)) this.askSoon();
  }

  private askSoon(): void {
    window.clearTimeout(this.timer);
    if (this.connection.status === "ready") this.timer = window.setTimeout(() => void this.ask(), PAUSE);
  }

  private async ask(): Promise<void> {
    if (!this.prompts.size && !this.hasCandidate) return;
    if (this.isAsking) return void (this.isOld = true);
    const names = new Set([...this.prompts].flatMap((prompt) => [...prompt.names]));
    const words = new Set([...this.prompts].map((prompt) => prompt.bare).filter(Boolean));
    this.isAsking = true;
    this.isOld = false;
    try {
      const answer: Answer = await this.connection.ask("names", { names: [...names], models: [...words] });
      this.take(answer, new Set([...names, ...words]));
      this.setMagics(answer.magics);
    } catch {
      // The kernel was restarted: it is asked again when it is ready.
    } finally {
      this.isAsking = false;
    }
    if (this.isOld) this.askSoon();
    for (const prompt of this.prompts) this.look(prompt); // what was typed in the meantime
  }

  private take({ known, missing, models }: Answer, asked: Set<string>): void {
    const isOther = (before: Set<string>, after: string[]): boolean =>
      before.size !== after.length || after.some((name) => !before.has(name));
    const changed = isOther(this.known, known) || isOther(this.missing, missing) || isOther(this.models, models);
    [this.known, this.missing, this.models] = [new Set(known), new Set(missing), new Set(models)];
    const grown = isOther(this.asked, [...asked]);
    this.asked = asked;
    if (changed || grown) for (const prompt of [...this.prompts]) prompt.refresh();
  }
}
