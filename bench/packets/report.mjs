// The tables: Markdown, to be pasted into docs/performance.md.
import { median } from './measure.mjs'

const columns = {
  tcp: { title: 'One TCP connection', unit: 'Gbit/s', cost: 'CPU s/GB', better: 'more' },
  udp: { title: '60-byte frames', unit: 'thousand frames/s', cost: 'CPU µs a frame', better: 'more' },
  rtt: { title: 'Round trip of a small datagram', unit: 'µs, p50', cost: 'p99', better: 'less' },
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

const reached = (load, ratio, aim) => (load === 'rtt' ? ratio <= aim : ratio >= aim)

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
      const verdict = aim === undefined ? '' : reached(load, ratio, aim) ? 'reached' : 'missed'
      const wanted = aim === undefined ? '' : `${load === 'rtt' ? '≤' : '≥'} ${aim}`
      lines.push(
        `| ${designs[design].title} | ${value.toFixed(load === 'tcp' ? 2 : 0)} | ${costs.toFixed(2)} | ${range} | ${designs[base].title} | ${wanted} | ${verdict} |`,
      )
    }
  }
  return lines.join('\n')
}
