/** The pictures of the cells in this page, by the names of their attachments. They stay until the page is closed. */

import { dataUrl, thumbnailOf } from "../../../panel/src/pictures.js";
import { sha256 } from "./sha256";

/** What the metadata of a cell has for a picture: base64 by MIME type. */
export type Bundle = { [type: string]: string };

export class Stored {
  private _digest = "";
  private _thumbnail: Promise<string> | null = null;

  constructor(
    readonly bundle: Bundle,
    private _bytes: Uint8Array | null = null,
    readonly url = "", // of a thumbnail
  ) {}

  get type(): string {
    return Object.keys(this.bundle)[0] ?? "";
  }

  get bytes(): Uint8Array {
    this._bytes ??= decoded(this.bundle[this.type] ?? "");
    return this._bytes;
  }

  get digest(): string {
    this._digest ||= sha256(this.bytes);
    return this._digest;
  }

  /** Bytes of the picture, without decoding it. */
  get size(): number {
    return Math.floor(((this.bundle[this.type] ?? "").length * 3) / 4);
  }

  /** The address of a small copy. Rejects if the picture is broken. */
  thumbnail(): Promise<string> {
    if (this.url) return Promise.resolve(this.url);
    this._thumbnail ??= thumbnailOf(new Blob([this.bytes], { type: this.type })).then(dataUrl);
    return this._thumbnail;
  }
}

/** The bytes; none if it is not base64. */
function decoded(base64: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

/** A picture as the metadata of a cell has it. */
export async function stored(bytes: ArrayBuffer, type: string, url: string): Promise<Stored> {
  const address = await dataUrl(new Blob([bytes], { type }));
  return new Stored({ [type]: address.slice(address.indexOf(",") + 1) }, new Uint8Array(bytes), url);
}

export class Store {
  private readonly byName = new Map<string, Stored>();

  get(name: string): Stored | undefined {
    return this.byName.get(name);
  }

  add(name: string, picture: Stored): void {
    this.byName.set(name, picture);
  }

  /** The picture that a cell has under this name. */
  take(name: string, bundle: Bundle): Stored {
    const before = this.byName.get(name);
    const type = Object.keys(bundle)[0] ?? "";
    if (before && before.bundle[type] === bundle[type]) return before;
    const picture = new Stored(bundle);
    this.byName.set(name, picture);
    return picture;
  }
}
