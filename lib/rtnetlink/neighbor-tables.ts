/** The collection `namespace.neighborTables`. */
import { hasCode, namedError } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { checkInteger, checkOneOf, checkOptions } from '../validate.js'
import { AF_INET, AF_INET6, AF_UNSPEC } from '../values/ip.js'
import { indexIfGiven } from './link-lookup.js'
import type { LinkReference } from './link-options.js'
import { checkFamily } from './neighbor-options.js'
import {
  type NeighborParameters,
  type NeighborTable,
  neighborParameterAttributes,
  neighborTableMessage,
  readNeighborTable,
} from './neighbor-table.js'
import { change, dump } from './talk.js'

export interface NeighborTableFilter {
  family?: 'inet' | 'inet6'
  /** Only a link's own parameters. */
  link?: LinkReference
}

/** What can be changed of a table. */
export interface NeighborTableChanges extends NeighborParameters {
  family: 'inet' | 'inet6'
  /** The link whose parameters are meant. Without it those that new links of the machine's first namespace begin with. */
  link?: LinkReference
  /** Limits of the whole table, which all namespaces share: they can be changed in the machine's first one only. */
  threshold1?: number
  threshold2?: number
  threshold3?: number
  /** Milliseconds. As the thresholds. */
  collectionInterval?: number
}

const tableKeys = ['threshold1', 'threshold2', 'threshold3', 'collectionInterval'] as const
const readOnly = ['index', 'references', 'reachableTime', 'padding']
const parameterKeys = neighborParameterAttributes.attributes
  .map(({ key }) => key)
  .filter((key) => !readOnly.includes(key)) as (keyof NeighborParameters)[]

/** The tables of ARP and of IPv6 neighbor discovery: `red.neighborTables` (ip-ntable(8)). */
export class NeighborTables {
  readonly #namespace: Namespace

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** A row for each table, and one for each link's parameters in it. The kernel filters by family. */
  async list(filter: NeighborTableFilter = {}): Promise<NeighborTable[]> {
    checkOptions(filter, 'filter', ['family', 'link'])
    checkFamily(filter.family, 'filter.family')
    const found = indexIfGiven(this.#namespace, filter.link, 'filter.link')
    const index = typeof found === 'object' ? await found : found
    const family = filter.family === undefined ? AF_UNSPEC : filter.family === 'inet' ? AF_INET : AF_INET6
    return dump(
      this.#namespace,
      {
        definition: neighborTableMessage,
        request: 'RTM_GETNEIGHTBL',
        header: { family },
        attributes: {},
        what: `cannot list the neighbor tables of ${labelOf(this.#namespace)}`,
      },
      (message) => {
        const decoded = neighborTableMessage.decode(message)
        const { family: had } = decoded.header
        if ((had !== AF_INET && had !== AF_INET6) || (family !== AF_UNSPEC && had !== family)) return undefined
        const table = readNeighborTable(decoded)
        return index === undefined || table.index === index ? table : undefined
      },
    )
  }

  /** The row of a table, or of a link's parameters in it. Rejects with ENOENT when the link has none. */
  async get(match: Required<Pick<NeighborTableFilter, 'family'>> & NeighborTableFilter): Promise<NeighborTable> {
    checkOptions(match, 'match', ['family', 'link'])
    const { family, link } = match
    checkOneOf(family, 'match.family', ['inet', 'inet6'])
    const rows = await this.list({ family, link })
    const row = link === undefined ? rows.find(({ index }) => index === undefined) : rows[0]
    if (row === undefined)
      throw namedError('ENOENT', 'RTM_GETNEIGHTBL', `no such neighbor table in ${labelOf(this.#namespace)}`)
    return row
  }

  /**
   * Changes a link's parameters; in the machine's first namespace also the table's limits, and what new links begin with.
   * @throws ERR_INVALID_ARG_… for wrong options; NetkitError ENOENT when the link has no parameters in the table, EPERM for what
   * can be changed in the machine's first namespace only
   */
  async set(changes: NeighborTableChanges): Promise<void> {
    checkOptions(changes, 'changes', ['family', 'link', ...tableKeys, ...parameterKeys])
    checkOneOf(changes.family, 'changes.family', ['inet', 'inet6'])
    for (const key of [...tableKeys, ...parameterKeys]) {
      if (changes[key] !== undefined) checkInteger(changes[key], `changes.${key}`, 0, 0x7fff_ffff)
    }
    const { family } = changes
    const found = indexIfGiven(this.#namespace, changes.link, 'changes.link')
    const index = typeof found === 'object' ? await found : found
    const name = family === 'inet' ? 'arp_cache' : 'ndisc_cache'
    const given = <K extends keyof NeighborTableChanges>(keys: readonly K[]) =>
      Object.fromEntries(keys.filter((key) => changes[key] !== undefined).map((key) => [key, changes[key]]))
    const parameters = given(parameterKeys)
    const what = `cannot change the table ${name}`
    try {
      await change(this.#namespace, {
        definition: neighborTableMessage,
        request: 'RTM_SETNEIGHTBL',
        header: { family: family === 'inet' ? AF_INET : AF_INET6 },
        attributes: {
          name,
          ...given(tableKeys),
          parameters: Object.keys(parameters).length === 0 ? undefined : { index, ...parameters },
        },
        what,
      })
    } catch (error) {
      // The kernel knows them in the machine's first namespace only.
      if (!hasCode(error, 'ENOENT') || (index !== undefined && Object.keys(given(tableKeys)).length === 0)) throw error
      const reason = `${what}: limits and what new links begin with can be changed in the machine's first namespace only`
      throw namedError('EPERM', 'RTM_SETNEIGHTBL', reason, error)
    }
  }
}

declare module '../namespace/namespace.js' {
  interface Namespace {
    /** The tables of neighbors, and the parameters that links have in them. */
    readonly neighborTables: NeighborTables
  }
}

defineFacet('neighborTables', (namespace) => new NeighborTables(namespace))
