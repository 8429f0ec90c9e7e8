/** Every attempt of one member to reach another, and what became of it: the table at the end, and the verdict. */
import { COUNT, type Member, median, type Reach } from './reach.js'
import { bold, detail, dim, green, milliseconds, red, step, unicode } from './terminal.js'

/** A network and who is on it. */
export interface Group {
  title: string
  /** Its name in the table. */
  short: string
  members: Member[]
}

interface Result {
  reach: Reach
  /** Whether it should get replies. */
  expected: boolean
}

const NONE = unicode ? '·' : '.'

export class Attempts {
  readonly #groups: Group[] = []
  readonly #results = new Map<Member, Map<Member, Result>>()
  readonly #signal: AbortSignal

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  async #attempt(from: Member, to: Member, count: number, expected: boolean): Promise<Reach> {
    const reach = await from.reach(to.address, count, this.#signal)
    this.#signal.throwIfAborted()
    const row = this.#results.get(from) ?? new Map<Member, Result>()
    this.#results.set(from, row.set(to, { reach, expected }))
    return reach
  }

  /** Everybody on a network tries everybody else on it, `atOnce` pairs at a time. */
  async within(group: Group, atOnce = 8): Promise<void> {
    this.#groups.push(group)
    const pairs = pairsOf(group.members, group.members)
    const outcomes = await step(
      `${pairs.length} pairs, ${COUNT} packets each`,
      () => inGroups(pairs, atOnce, ([from, to]) => this.#attempt(from, to, COUNT, true)),
      (reaches) => `${reached(reaches)} of them get replies`,
      (reaches) => reached(reaches) === pairs.length,
    )
    for (const [i, [from, to]] of pairs.entries()) {
      const { times, sent, reason } = outcomes[i] as Reach
      const pair = `${from.label} ${unicode ? '→' : '->'} ${to.label}`.padEnd(18)
      const words =
        times.length > 0 ? `${times.length} of ${sent}, ${milliseconds(median(times))} ms` : red(`none: ${reason}`)
      detail(`${pair}  ${to.address.padEnd(9)}  ${words}`)
    }
  }

  /** Everybody tries those on the other networks, whom nobody should reach. */
  async across(): Promise<void> {
    const groups = this.#groups
    const pairs = groups.flatMap((a) => groups.filter((b) => a !== b).flatMap((b) => pairsOf(a.members, b.members)))
    await step(
      `${pairs.length} pairs, 1 packet each`,
      () => inGroups(pairs, 8, ([from, to]) => this.#attempt(from, to, 1, false)),
      (reaches) => `${reached(reaches) || 'none'} of them gets a reply`,
      (reaches) => reached(reaches) === 0,
    )
  }

  /** The pairs that did not come out as they should, one line each. */
  problems(): string[] {
    return [...this.#results].flatMap(([from, row]) =>
      [...row].flatMap(([to, { reach, expected }]) => {
        if (reach.times.length > 0 === expected) return []
        return [`${from.label} ${expected ? `did not reach ${to.address}: ${reach.reason}` : `reached ${to.address}`}`]
      }),
    )
  }

  /** How many pairs reached each other, and how many did not. */
  totals(): { reached: number; apart: number } {
    const all = [...this.#results.values()].flatMap((row) => [...row.values()])
    const reached = all.filter(({ reach }) => reach.times.length > 0).length
    return { reached, apart: all.length - reached }
  }

  /** One line a member, one column a member: the median time in milliseconds, or a dot. */
  table(): string[] {
    const members = this.#groups.flatMap((group) => group.members)
    const label = Math.max(...members.map((member) => member.label.length))
    const lead = Math.max(...this.#groups.map((group) => group.short.length)) + 2
    const width = Math.max(label, 6) + 1
    const perGroup = (text: (group: Group) => string) => this.#groups.map(text).join('  ')
    const margin = ' '.repeat(lead + label + 2)
    const heads = perGroup(({ short, members: [first], members: { length } }) => {
      return (' '.repeat(width - (first?.label.length ?? 0)) + short).padEnd(width * length)
    })
    const names = perGroup((group) => group.members.map((member) => member.label.padStart(width)).join(''))
    const lines = [margin + bold(heads.trimEnd()), margin + bold(names)]
    for (const group of this.#groups) {
      for (const [i, from] of group.members.entries()) {
        const head = bold((i === 0 ? group.short : '').padEnd(lead) + from.label.padEnd(label + 2))
        lines.push(head + perGroup((other) => other.members.map((to) => this.#cell(from, to, width)).join('')))
      }
    }
    return lines.map((line) => line.trimEnd())
  }

  #cell(from: Member, to: Member, width: number): string {
    if (from === to) return ' '.repeat(width)
    const result = this.#results.get(from)?.get(to)
    if (result === undefined) return '?'.padStart(width)
    const { reach, expected } = result
    const text = (reach.times.length > 0 ? milliseconds(median(reach.times)) : NONE).padStart(width)
    if (reach.times.length > 0 !== expected) return red(text)
    return expected ? green(text) : dim(text)
  }
}

function reached(reaches: Reach[]): number {
  return reaches.filter(({ times }) => times.length > 0).length
}

/** Works on all items, a few at a time: each may be a process. */
async function inGroups<T, R>(items: T[], size: number, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let i = 0; i < items.length; i += size) results.push(...(await Promise.all(items.slice(i, i + size).map(work))))
  return results
}

function pairsOf(from: Member[], to: Member[]): [Member, Member][] {
  return from.flatMap((a) => to.filter((b) => a !== b).map((b): [Member, Member] => [a, b]))
}
