/** The link kinds that netkit has tables for. A kind without one is read and created through raw attributes. */
import type { AnyTable } from '../../netlink/table.js'

/** What a kind's file says about it. */
export interface Kind {
  /** The kind as the kernel calls it: 'bridge'. */
  readonly kind: string
  /** The attributes of IFLA_INFO_DATA: the kind's own options. Their keys are the options' names. */
  readonly options: AnyTable
  /** Keys of `options` that can only be read. */
  readonly readOnly?: readonly string[]
  /** The attributes of IFLA_INFO_SLAVE_DATA of links that have a master of this kind. */
  readonly port?: AnyTable
}

/**
 * The options of each kind, for creating and changing. Each kind's file adds its own:
 * `declare module './registry.js' { interface LinkKinds { bridge: BridgeOptions } }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: filled by declaration merging
export interface LinkKinds {}

const kinds = new Map<string, Kind>()

export function defineKind(kind: Kind): void {
  kinds.set(kind.kind, kind)
}

export function kindOf(name: unknown): Kind | undefined {
  return typeof name === 'string' ? kinds.get(name) : undefined
}

/** The table of IFLA_INFO_DATA for a kind. */
export function dataTableOf(name: unknown): AnyTable | undefined {
  return kindOf(name)?.options
}

/** The table of IFLA_INFO_SLAVE_DATA for a master's kind. */
export function portTableOf(name: unknown): AnyTable | undefined {
  return kindOf(name)?.port
}
