// The tables: Markdown, to be pasted into docs/performance.md.
import { median } from './measure.mjs'

const columns = {
  tcp: { title: 'One TCP connection', unit: 'Gbit/s', cost: 'CPU s/GB' },
  udp: { title: '60-byte frames', unit: 'thousand frames/s', cost: 'CPU µs a frame' },
  rtt: { title: 'Round trip of a small datagram', unit: 'µs, p50', cost: 'p99' },
}

/** A slice's value in the unit of its column. */
export const scaled = (load, value) => value / { tcp: 1e9, udp: 1e3, rtt: 1 }[load]

/** Milliseconds that the load runs before it measures. */
const WARM_UP = { tcp: 70, udp: 20 }

function cost(load, slice, milliseconds) {
  if (load === 'rtt') return slice.p99
  const busy = (slice.busy * milliseconds) / (milliseconds + WARM_UP[load])
  if (load === 'udp') return (busy * 1e3) / ((slice.value * milliseconds) / 1e3)
  return busy / 1e3 / ((slice.value * milliseconds) / 8e3 / 1e9)
}

/** What is aimed at, in words, and whether it was reached. `value`: in the unit of the column. */
function verdict(load, aim, ratio, value) {
  if (aim === null) return ' |'
  if (load === 'rtt') return `≤ ${aim.ratio} | ${ratio <= aim.ratio ? 'reached' : 'missed'}`
  const enough = aim.value === undefined ? Infinity : scaled(load, aim.value)
  const words = `≥ ${aim.ratio}${aim.value === undefined ? '' : `, or ≥ ${enough} ${columns[load].unit}`}`
  return `${words} | ${ratio >= aim.ratio || value >= enough ? 'reached' : 'missed'}`
}

/** One table a load. */
export function tables(designs, comparisons, slices, milliseconds) {
  const lines = []
  for (const [load, { title, unit, cost: costTitle }] of Object.entries(columns)) {
    const members = comparisons.filter((each) => each.load === load)
    if (members.length === 0) continue
    lines.push('', `| ${title} | ${unit} | ${costTitle} | ratio (from – to) | to | aim | |`)
    lines.push('| --- | --- | --- | --- | --- | --- | --- |')
    for (const { design, base, ratios, aim } of members) {
      const seen = slices.get(`${design} ${load}`)
      const value = scaled(load, median(seen.map((slice) => slice.value)))
      const costs = median(seen.map((slice) => cost(load, slice, milliseconds)))
      const ratio = median(ratios)
      const range = `${ratio.toFixed(2)} (${Math.min(...ratios).toFixed(2)} – ${Math.max(...ratios).toFixed(2)})`
      lines.push(
        `| ${designs[design].title} | ${value.toFixed(load === 'tcp' ? 2 : 0)} | ${costs.toFixed(2)} | ${range} | ${designs[base].title} | ${verdict(load, aim, ratio, value)} |`,
      )
    }
  }
  return lines.join('\n')
}
