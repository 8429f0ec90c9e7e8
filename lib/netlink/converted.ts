/**
 * Tables whose values are not said attribute by attribute: several attributes make one value (an address that goes into one
 * attribute or another by its family), or one attribute several (flags). Callers say and read values; the wire has attributes.
 */
import type { Context } from './attribute.js'
import type { Source, Writer } from './bytes.js'
import { type AnyTable, AttributeTable, type Definition, type Values } from './table.js'

/** Values or attributes by their keys; attributes without a name by `#` and their number. */
export type Loose = Record<string, unknown>

/** How values and attributes become each other. What a function does not know it hands on. */
export interface Conversion {
  /** The names of all values. */
  readonly keys: readonly string[]
  /** The attributes of some values; `path` leads to them in what the caller wrote. Throws as lib/validate.ts does. */
  write(values: Loose, path: string): Loose
  /** The values of some attributes. */
  read(attributes: Loose): Loose
}

class ConvertedTable<D extends Definition> extends AttributeTable<D> {
  readonly #conversion: Conversion

  constructor(definition: D, conversion: Conversion) {
    super(definition)
    this.#conversion = conversion
  }

  override get keys(): readonly string[] {
    return this.#conversion.keys
  }

  override decode(source: Source, start: number, end: number, header?: Context['header']): Values<D> {
    return this.#conversion.read(super.decode(source, start, end, header)) as Values<D>
  }

  override encode(writer: Writer, values: Values<D>, header?: Context['header'], path?: string): void {
    super.encode(writer, this.#conversion.write(values, path ?? 'options') as Values<D>, header, path)
  }
}

/** A table of attributes that is decoded to, and encoded from, other values. */
export function convertedAttributes<const D extends Definition>(definition: D, conversion: Conversion): AnyTable {
  return new ConvertedTable(definition, conversion) as unknown as AnyTable
}
