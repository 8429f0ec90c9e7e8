// The plot: an SVG that is made of the same figures as the tables, and readable on light and on dark ground.
import { median } from './measure.mjs'
import { scaled } from './report.mjs'

const panels = [
  { load: 'tcp', title: 'one TCP connection, Gbit/s', digits: 1 },
  { load: 'udp', title: '60-byte frames, thousands a second', digits: 0 },
  { load: 'rtt', title: 'round trip, µs (less is better)', digits: 0 },
]
const kinds = { netkit: 'netkit', c: 'C', peer: 'other programs', kernel: 'the kernel alone' }

const WIDTH = 885
const LABEL = 275
const ROW = 22
const BAR = 14

const style = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600 }
  .value { font-size: 12px }
  .netkit { fill: #1a7f5a } .c { fill: #3b6fb6 } .peer { fill: #b3791f } .kernel { fill: #8b8f95 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .netkit { fill: #3fbf8f } .c { fill: #79a9f0 } .peer { fill: #e0a94a } .kernel { fill: #8b949e }
  }`

const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`)
const text = (x, y, words, attributes = '') => `<text x="${x}" y="${y}"${attributes}>${escaped(words)}</text>`

/** The rows of a panel: the medians of all designs that had this load, the best first. */
function rowsOf(load, designs, slices) {
  const rows = []
  for (const { name, title, kind, drawn = kind } of Object.values(designs)) {
    const seen = slices.get(`${name} ${load}`)
    if (seen === undefined) continue
    const value = scaled(load, median(seen.map((one) => one.value)))
    rows.push({ title: title.replaceAll('`', ''), kind: drawn, value })
  }
  return rows.sort((a, b) => (load === 'rtt' ? a.value - b.value : b.value - a.value))
}

function legend() {
  let x = LABEL
  return Object.entries(kinds).flatMap(([kind, words]) => {
    const parts = [`<rect x="${x}" y="10" width="12" height="12" class="${kind}"/>`, text(x + 18, 21, words)]
    x += 40 + 7.5 * words.length
    return parts
  })
}

/** The SVG's text. */
export function plot(designs, slices) {
  const parts = legend()
  let y = 52
  for (const { load, title, digits } of panels) {
    const rows = rowsOf(load, designs, slices)
    if (rows.length === 0) continue
    parts.push(text(LABEL, y, title, ' class="title"'))
    y += 10
    const most = Math.max(...rows.map(({ value }) => value))
    for (const { title, kind, value } of rows) {
      const width = Math.max(1, ((WIDTH - LABEL - 70) * value) / most)
      parts.push(
        text(LABEL - 8, y + 12, title, ' text-anchor="end"'),
        `<rect x="${LABEL}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" class="${kind}"/>`,
        text((LABEL + width + 6).toFixed(1), y + 12, value.toFixed(digits), ' class="value"'),
      )
      y += ROW
    }
    y += 34
  }
  const size = `width="${WIDTH}" height="${y - 20}" viewBox="0 0 ${WIDTH} ${y - 20}"`
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="Frames through netkit and other programs">\n<style>${style}\n</style>\n${parts.join('\n')}\n</svg>\n`
}
