/** The link kinds that netkit has tables for. A kind without one is read and created through raw attributes. */
import type { AnyTable } from '../../netlink/table.js'
import type { LinkReference } from '../link-options.js'

/** What a kind's file says about it. */
export interface Kind {
  /** The kind as the kernel calls it: 'bridge'. */
  readonly kind: string
  /** The attributes of IFLA_INFO_DATA: the kind's own options. Their keys are the options' names. */
  readonly options: AnyTable
  /** Keys of `options` that can only be read. */
  readonly readOnly?: readonly string[]
  /** Keys of `options` whose value is a link's index on the wire: callers give a Link, a name or an index (or null, for 0). */
  readonly links?: readonly string[]
  /** Keys of `options` without which none is made, with what each must be, for the error: `{ id: 'a number from 0 to 4094' }`. */
  readonly required?: Readonly<Record<string, string>>
  /** An option with which none of `required` is. */
  readonly requiredUnless?: string
  /** Keys of `options` that are given when a link is made, and cannot change afterwards. */
  readonly fixed?: readonly string[]
  /** Whether a link of this kind stands on another (the option `parent`). Default: it does not. */
  readonly parent?: 'required' | 'optional'
  /** The key of `options` that takes the parent's index, for kinds that do not take it as IFLA_LINK. */
  readonly parentKey?: string
  /** Why `createLink` does not make links of this kind, and what does: 'has two ends: use createVeth'. */
  readonly maker?: string
  /** What gives a kernel this kind, for the error when it lacks it: its configuration option, and the module's name when it can be one. */
  readonly kernel?: { readonly config: string; readonly module?: string }
  /** Options that take more than the kind: what a kernel that refuses them was built without, for the error. */
  readonly needs?: Readonly<Record<string, string>>
  /**
   * Checks options against each other, after each has been checked by itself: throws as lib/validate.ts does. `path` leads to
   * the options in what the caller wrote.
   */
  check?(options: Readonly<Record<string, unknown>>, path: string, creating: boolean): void
  /** Adds to the options what the kernel wants to be said along with them. */
  complete?(options: Readonly<Record<string, unknown>>): Record<string, unknown>
  /**
   * What is sent for some changes of a link that says `known` of itself: needed where the kernel takes a change for a complete
   * description. Without this, the changes are.
   */
  merge?(known: Readonly<Record<string, unknown>>, changes: Readonly<Record<string, unknown>>): Record<string, unknown>
  /**
   * Whether a link that says `known` of itself has what is asked for an option. Needed where that does not read as it is
   * written; undefined leaves it to the comparison of what would be written with what is read.
   */
  isAsAsked?(key: string, wanted: unknown, known: Readonly<Record<string, unknown>>): boolean | undefined
  /** Options of links whose master is of this kind (IFLA_INFO_SLAVE_DATA). */
  readonly port?: PortKind
}

/** The options of a master's ports. */
export interface PortKind {
  readonly options: AnyTable
  readonly readOnly?: readonly string[]
  readonly links?: readonly string[]
}

/**
 * The options of each kind, for creating and changing. Each kind's file adds its own:
 * `declare module './registry.js' { interface LinkKinds { bridge: BridgeOptions } }`.
 */
// biome-ignore lint/suspicious/noEmptyInterface: filled by declaration merging
export interface LinkKinds {}

/** What is read of each kind (`link.options`), where it is more than, or not the same as, the options that are written. */
// biome-ignore lint/suspicious/noEmptyInterface: as above
export interface LinkKindStates {}

/** What creating takes besides the options: `vlan: { parent: LinkReference; id: number }`, `vxlan: { parent?: LinkReference }`. */
// biome-ignore lint/suspicious/noEmptyInterface: as above
export interface LinkKindNeeds {}

/** The options of ports, for changing, by their master's kind. */
// biome-ignore lint/suspicious/noEmptyInterface: as above
export interface PortKinds {}

/** What is read of ports (`link.port`), by their master's kind. */
// biome-ignore lint/suspicious/noEmptyInterface: as above
export interface PortKindStates {}

/** Options among which some are links: told by a Link, a name or an index, or null for none. */
export type LinksIn<T, K extends keyof T> = Omit<T, K> & { [P in K]?: LinkReference | null }

/** Of a kind that has no options of its own. */
export type NoOptions = Record<never, never>

const kinds = new Map<string, Kind>()

export function defineKind(kind: Kind): void {
  kinds.set(kind.kind, kind)
}

export function kindOf(name: unknown): Kind | undefined {
  return typeof name === 'string' ? kinds.get(name) : undefined
}

/** Every kind that has a table. */
export function allKinds(): readonly Kind[] {
  return [...kinds.values()]
}

export function kindNames(): string[] {
  return [...kinds.keys()]
}

/** The table of IFLA_INFO_DATA for a kind. */
export function dataTableOf(name: unknown): AnyTable | undefined {
  return kindOf(name)?.options
}

/** The table of IFLA_INFO_SLAVE_DATA for a master's kind. */
export function portTableOf(name: unknown): AnyTable | undefined {
  return kindOf(name)?.port?.options
}
