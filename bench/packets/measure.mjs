// Slices of load, one design after the other in random order, each between two slices of the design that it is compared with.
import { setTimeout as delay } from 'node:timers/promises'

/** The share of a slice in which a program may have waited for a core before the slice is repeated. */
const DISTURBED = 0.1
const TRIES = 6

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

export function shuffled(values) {
  const left = [...values]
  const order = []
  while (left.length > 0) order.push(...left.splice(Math.floor(Math.random() * left.length), 1))
  return order
}

const group = (values, key) => {
  const groups = new Map()
  for (const value of values) groups.set(key(value), [...(groups.get(key(value)) ?? []), value])
  return [...groups.values()]
}

/**
 * Measures comparisons: adds `ratios` to each, and returns the slices of every design and load, by `design load`.
 * `record` is called with every slice.
 */
export async function measure(sites, comparisons, { rounds, milliseconds, pause, record }) {
  const slices = new Map()
  let disturbed = 0
  const slice = async (name, load, round) => {
    let seen
    let isDisturbed
    for (let again = 0; again < TRIES; again++) {
      if (pause > 0) await delay(pause)
      try {
        seen = await sites[name].slice(load, milliseconds)
      } catch (error) {
        // A load that got no core in time gives up.
        if (again === TRIES - 1) throw error
        continue
      }
      const most = DISTURBED * milliseconds
      isDisturbed = seen.pumpWaited > most || seen.loadWaited > most || seen.stolen > most
      record({ design: name, load, round, ...seen, disturbed: isDisturbed })
      if (!isDisturbed) break
      await delay(300)
    }
    if (isDisturbed) disturbed++
    const key = `${name} ${load}`
    slices.set(key, [...(slices.get(key) ?? []), seen])
    return seen.value
  }

  for (const { design, base, load } of comparisons) {
    for (const name of [base, design]) if (!slices.has(`${name} ${load}`)) await sites[name].slice(load, 200)
  }
  for (const comparison of comparisons) comparison.ratios = []
  for (let round = 0; round < rounds; round++) {
    for (const members of shuffled(group(comparisons, ({ base, load }) => `${base} ${load}`))) {
      const [{ base, load }] = members
      let before = await slice(base, load, round)
      for (const comparison of shuffled(members)) {
        const value = await slice(comparison.design, load, round)
        const after = await slice(base, load, round)
        comparison.ratios.push((2 * value) / (before + after))
        before = after
      }
    }
    if (process.stderr.isTTY) process.stderr.write(`\rround ${round + 1} of ${rounds} `)
  }
  if (process.stderr.isTTY) process.stderr.write('\n')
  return { slices, disturbed }
}
