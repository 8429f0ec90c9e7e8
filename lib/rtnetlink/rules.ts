/** The collection `namespace.rules`. */
import { isDeepStrictEqual } from 'node:util'
import { hasCode, namedError } from '../errors.js'
import { defineFacet } from '../namespace/facet.js'
import { labelOf } from '../namespace/internal.js'
import type { Namespace } from '../namespace/namespace.js'
import { sourceOf } from '../netlink/bytes.js'
import { HEADER_SIZE, type Message, netlinkConstants } from '../netlink/message.js'
import { valueError } from '../validate.js'
import { AF_INET, AF_INET6 } from '../values/ip.js'
import { rtnetlinkConstants } from './constants.js'
import { type Rule, readRule, ruleMessage } from './rule.js'
import { checkRule, type NewRule, type RuleAsk, type RuleMatch, ruleOf, ruleRequest } from './rule-options.js'
import { checkSaysSomething, saysNothing } from './says-nothing.js'
import { allOrFirstError, change, dump, dumpEach } from './talk.js'
import { inTurn } from './turns.js'

export type { NewRule, RuleMatch } from './rule-options.js'

const { NLM_F_CREATE, NLM_F_EXCL } = netlinkConstants
const { RTM_NEWRULE } = rtnetlinkConstants

/** What `ensure` found or did. */
export interface EnsuredRule {
  rule: Rule
  /** Whether anything had to be done. */
  changed: boolean
}

/** The routing rules of a namespace: `red.rules`. They say which table a packet's route is looked up in (ip-rule(8)). */
export class Rules {
  readonly #namespace: Namespace

  /** @internal */
  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /**
   * Those that have all that is said, of both families, in the order in which the kernel looks at them. The kernel filters by
   * family, netkit by the rest.
   */
  async list(filter: RuleMatch = {}): Promise<Rule[]> {
    const { question, read } = this.#listing(filter, 'filter')
    return dump(this.#namespace, question, read)
  }

  /** The same, one after another. */
  async *stream(filter: RuleMatch = {}): AsyncGenerator<Rule, void, undefined> {
    const { question, read } = this.#listing(filter, 'filter')
    yield* dumpEach(this.#namespace, question, read)
  }

  /** The first that has all that is said, or undefined. */
  async find(match: RuleMatch | Rule): Promise<Rule | undefined> {
    const { question, read } = this.#listing(ruleOf(match), 'match')
    const [rule] = await dump(this.#namespace, question, read)
    return rule
  }

  /** The first that has all that is said. Rejects with ENOENT when none does. */
  async get(match: RuleMatch | Rule): Promise<Rule> {
    const rule = await this.find(match)
    if (rule === undefined) {
      throw namedError('ENOENT', 'RTM_GETRULE', `no rule with ${saying(ruleOf(match))} in ${labelOf(this.#namespace)}`)
    }
    return rule
  }

  /**
   * Adds a rule. Rejects with EEXIST when there is the very same, with the same priority. One that says nothing but its family is
   * refused: it would look up all packets in the table 'main', before all other rules.
   */
  async add(rule: NewRule | Rule): Promise<void> {
    const wish = ruleOf(rule)
    const family = checkNewRule(wish)
    const flags = NLM_F_CREATE | NLM_F_EXCL
    await change(
      this.#namespace,
      ruleRequest('RTM_NEWRULE', family, wish, `cannot add the rule: ${saying(wish)}`, flags),
    )
  }

  /**
   * Makes sure that there is such a rule, and touches nothing when there is: one that matches the same packets, does the same, and
   * has the same priority and protocol where those are given. Rejects with EEXIST when there is one that differs in `invert` alone,
   * by which the kernel does not tell rules apart.
   */
  async ensure(rule: NewRule | Rule): Promise<EnsuredRule> {
    const wish = ruleOf(rule)
    const family = checkNewRule(wish)
    const asked = rowOf(ruleRequest('RTM_NEWRULE', family, wish, '', 0))
    const same = isSame(asked, wish)
    return inTurn(this.#namespace, `rules ${family}`, async () => {
      const search = async () => (await this.list({ family: asked.family })).find(same)
      const known = await search()
      if (known !== undefined) return { rule: known, changed: false }
      let refusal: unknown
      await this.add(wish).catch((error: unknown) => {
        if (!hasCode(error, 'EEXIST')) throw error
        refusal = error
      })
      const made = await search()
      // Not made by somebody else who was faster, but another that the kernel takes for the same.
      if (made === undefined && refusal !== undefined) throw refusal
      if (made === undefined) throw namedError('ENOENT', 'RTM_GETRULE', 'the rule was removed at once')
      return { rule: made, changed: refusal === undefined }
    })
  }

  /**
   * Removes the first rule that has all that is said; of `family`, or of the addresses', IPv4 without either. Rejects with ENOENT
   * when there is none. What is not said matches anything, in a row of `list` too: the priority tells rules apart.
   */
  async remove(match: RuleMatch | Rule): Promise<void> {
    const wish = ruleOf(match)
    const family = checkRule(wish, 'rule')
    if (saysNothing(wish)) throw valueError('rule', wish, 'says nothing')
    const what = `cannot remove the rule: ${saying(wish)}`
    await change(this.#namespace, ruleRequest('RTM_DELRULE', family, wish, what, 0))
  }

  /**
   * Removes all that have what is said, and resolves to them; the one with priority 0, which looks up the table 'local', stays, as
   * with `ip rule flush`. The filter must say something.
   */
  async flush(filter: RuleMatch): Promise<Rule[]> {
    checkSaysSomething(filter, "{ family: 'inet' } is all of IPv4")
    checkRule(filter, 'filter')
    const rules = (await this.list(filter)).filter(({ priority }) => priority !== 0)
    const removed = await allOrFirstError(
      rules.map((rule) =>
        this.remove(rule).then(
          () => true,
          (error: unknown) => {
            if (hasCode(error, 'ENOENT')) return false
            throw error
          },
        ),
      ),
    )
    return rules.filter((_, i) => removed[i])
  }

  #listing(match: RuleMatch, name: string) {
    const { family, from, to, ...rest } = match ?? {}
    const own = checkRule(match, name)
    const isSaid = family !== undefined || from !== undefined || to !== undefined
    const asked = rowOf(ruleRequest('RTM_DELRULE', own, match, '', 0))
    const keys = Object.keys({ from, to, ...rest }).filter((key) => match[key as keyof RuleMatch] !== undefined)
    const question: RuleAsk = {
      definition: ruleMessage,
      request: 'RTM_GETRULE',
      header: { family: isSaid ? own : 0 },
      attributes: {},
      what: `cannot list the rules of ${labelOf(this.#namespace)}`,
    }
    const read = (message: Message): Rule | undefined => {
      const decoded = ruleMessage.decode(message)
      const had = decoded.header.family
      // A dump of all families has rules of multicast routing too.
      if (isSaid ? had !== own : had !== AF_INET && had !== AF_INET6) return undefined
      const rule = readRule(decoded)
      return keys.every((key) => equal(rule, asked, key as keyof Rule)) ? rule : undefined
    }
    return { question, read }
  }
}

/** A rule that is to be made; its family. Throws for one that says nothing. */
function checkNewRule(wish: NewRule): number {
  const family = checkRule(wish, 'rule')
  const { family: _, ...rest } = wish
  if (saysNothing(rest)) throw valueError('rule', wish, 'says nothing: not which packets, nor what becomes of them')
  return family
}

/** The row that a request would make: so every value is written as the kernel's rows have it. */
function rowOf({ header, attributes }: RuleAsk): Rule {
  const bytes = ruleMessage.encode(RTM_NEWRULE, 0, header, attributes)
  const message = { type: 0, flags: 0, sequence: 0, start: HEADER_SIZE, end: bytes.length }
  return readRule(ruleMessage.decode({ source: sourceOf(bytes), ...message }))
}

/** What a rule has, where nothing that is said means the same as one thing that can be said. */
const implied: Partial<Rule> = { tos: 0, flow: 0, l3mdev: false, mark: 0 }

function equal(known: Rule, asked: Rule, key: keyof Rule): boolean {
  return isDeepStrictEqual(known[key] ?? implied[key], asked[key] ?? implied[key])
}

/** Whether a rule is the one that is asked for: nothing more and nothing less. */
function isSame(asked: Rule, wish: NewRule): (known: Rule) => boolean {
  const wanted = { ...asked }
  // The mask that the kernel gives to a mark without one.
  if (asked.mark !== undefined && asked.markMask === undefined && asked.mark !== 0) wanted.markMask = 0xffff_ffff
  const free = ['flags', 'priority', 'protocol', 'sourcePortMask', 'destinationPortMask', 'dscpMask'].filter(
    (key) => wish[key as keyof NewRule] === undefined,
  )
  return (known) => {
    const keys = Object.keys({ ...known, ...wanted }) as (keyof Rule)[]
    return keys.every((key) => free.includes(key) || equal(known, wanted, key))
  }
}

/** A rule in words: `from 10.0.1.0/24, table 100, priority 1000`. */
function saying(match: RuleMatch): string {
  const parts = Object.entries(match).filter(([, value]) => value !== undefined)
  const text = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return String(value)
    return 'name' in value
      ? String(value.name)
      : `${(value as { start: number }).start}-${(value as { end: number }).end}`
  }
  return parts.length === 0 ? 'anything' : parts.map(([key, value]) => `${key} ${text(value)}`).join(', ')
}

declare module '../namespace/namespace.js' {
  interface Namespace {
    /** The namespace's routing rules. */
    readonly rules: Rules
  }
}

defineFacet('rules', (namespace) => new Rules(namespace))
