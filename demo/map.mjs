/** A map of what was built, drawn from the kernel's lists of links and addresses: none of it is written down here. */
import { cyan, unicode } from './terminal.mjs'

/** @typedef {import('netkit').Link} Link */
/** A link as the map shows it. @typedef {{ text: string, link?: Link, node: Node }} Row */
/** @typedef {{ label: string, rows: Row[], bridges: Link[] }} Node */
/** Two rows and what joins them. @typedef {{ left: Row, right: Row, kind: string }} Cable */

const boxes = {
  horizontal: '─',
  vertical: '│',
  topLeft: '┌',
  topRight: '┐',
  bottomLeft: '└',
  bottomRight: '┘',
  cable: '═',
}
const letters = {
  horizontal: '-',
  vertical: '|',
  topLeft: '+',
  topRight: '+',
  bottomLeft: '+',
  bottomRight: '+',
  cable: '=',
}
const draw = unicode ? boxes : letters

/**
 * Asks the kernel what is in a namespace: links that are up, their IPv4 addresses, bridges apart.
 *
 * @param {import('./scenes.mjs').Place} place
 * @returns {Promise<Node>}
 */
async function look({ label, namespace }) {
  const [links, addresses] = await Promise.all([
    namespace.links.list({ up: true }),
    namespace.addresses.list({ family: 'inet' }),
  ])
  const shown = links.filter((link) => !link.flags.includes('LOOPBACK'))
  /** @type {Node} */
  const node = { label, rows: [], bridges: shown.filter((link) => link.kind === 'bridge') }
  for (const link of shown) {
    if (link.kind === 'bridge') continue
    const own = addresses.filter(({ index }) => index === link.index).map(({ address }) => address)
    node.rows.push({ text: [link.name, ...own].join('  '), link, node })
  }
  return node
}

/**
 * The two ends of each veth pair: each end tells the other's index. (Which namespace that is in, it tells by a number
 * that only its own namespace knows; within a scene, the indexes are enough, and a pair that is in doubt is left out.)
 *
 * @param {Row[]} rows @returns {[Row, Row][]}
 */
function pairs(rows) {
  /** @type {[Row, Row][]} */
  const found = []
  const ends = rows.filter(({ link }) => link?.kind === 'veth')
  for (const [i, one] of ends.entries()) {
    const peers = ends.filter(
      (other) => other !== one && other.link?.parent === one.link?.index && other.link?.index === one.link?.parent,
    )
    const [peer] = peers
    if (peer !== undefined && peers.length === 1 && ends.indexOf(peer) > i) found.push([one, peer])
  }
  return found
}

/** Draws one scene. @param {import('./scenes.mjs').Scene} scene @returns {Promise<string[]>} */
export async function drawMap({ places, program }) {
  const nodes = await Promise.all(places.map(look))
  const rows = nodes.flatMap((node) => node.rows)
  const joined = pairs(rows).map(([one, other]) => ({ ends: [one, other], kind: 'veth' }))
  if (program !== undefined) {
    const row = rows.find(({ link }) => link?.index === program.tap.link.index)
    /** @type {Node} */
    const node = { label: program.label, rows: [], bridges: [] }
    node.rows.push({ text: program.address, node })
    nodes.push(node)
    if (row && node.rows[0]) joined.push({ ends: [row, node.rows[0]], kind: `descriptor ${program.tap.fds[0]}` })
  }
  // The one with the most cables stands on the right, for all others to lead to.
  const cablesOf = (/** @type {Node} */ node) =>
    joined.filter(({ ends }) => ends.some((row) => row.node === node)).length
  const hub = nodes.reduce((best, node) => (cablesOf(node) >= cablesOf(best) ? node : best))
  /** @type {Cable[]} */
  const cables = joined.flatMap(({ ends, kind }) => {
    const right = ends.find((row) => row.node === hub)
    const left = ends.find((row) => row.node !== hub)
    return left && right ? [{ left, right, kind }] : []
  })
  return drawNodes(
    nodes.filter((node) => node !== hub),
    hub,
    cables,
  )
}

/**
 * Boxes one below the other on the left, one box over the whole height on the right.
 *
 * @param {Node[]} lefts @param {Node} hub @param {Cable[]} cables
 */
function drawNodes(lefts, hub, cables) {
  const width = Math.max(
    ...lefts.flatMap(({ label, rows }) => [label.length + 1, ...rows.map(({ text }) => text.length)]),
  )
  /** @type {{ left: string, cable?: Cable }[]} */
  const lines = lefts.flatMap((node) => [
    { left: border(node.label, width, draw.topLeft, draw.topRight) },
    ...node.rows.map((row) => ({ left: inBox(row.text, width), cable: cables.find(({ left }) => left === row) })),
    { left: border('', width, draw.bottomLeft, draw.bottomRight) },
  ])
  const middle = Math.max(...cables.map(({ kind }) => kind.length), 0) + 6
  const texts = hubTexts(hub, lines)
  const inner = Math.max(hub.label.length + 1, ...texts.map((text) => text.length))
  return lines.map(({ left, cable }, i) => {
    const right =
      i === 0
        ? border(hub.label, inner, draw.topLeft, draw.topRight)
        : i === lines.length - 1
          ? border('', inner, draw.bottomLeft, draw.bottomRight)
          : inBox(texts[i] ?? '', inner)
    return `  ${left}${cable === undefined ? ' '.repeat(middle) : cyan(center(` ${cable.kind} `, middle))}${right}`
  })
}

/**
 * What stands in the right box, line by line: its links, and on their right the bridge that joins them.
 *
 * @param {Node} hub @param {{ cable?: Cable }[]} lines
 */
function hubTexts({ bridges: [bridge] }, lines) {
  const names = lines.map(({ cable }) => cable?.right.text ?? '')
  if (bridge === undefined) return names
  const isPort = lines.map(({ cable }) => cable?.right.link?.master === bridge.index)
  const [first, last] = [isPort.indexOf(true), isPort.lastIndexOf(true)]
  const label = first + ((last - first) >> 1)
  const width = Math.max(...names.map((name) => name.length))
  return names.map((name, i) => {
    if (i < first || i > last || first < 0) return name
    const port = isPort[i] === true
    const stem = unicode ? stemOf(i, first, last, port, i === label) : port ? '+' : '|'
    const bar = draw.horizontal
    return `${name.padEnd(width)} ${port ? bar : ' '}${stem}${i === label ? `${bar} ${bridge.name}` : ''}`
  })
}

/**
 * The piece of the line that joins a bridge's ports.
 *
 * @param {number} i @param {number} first @param {number} last @param {boolean} port @param {boolean} labelled
 */
function stemOf(i, first, last, port, labelled) {
  if (first === last) return '─'
  const at = i === first ? 0 : i === last ? 2 : 1
  if (port) return (labelled ? '┬┼┴' : '┐┤┘').charAt(at)
  return labelled ? '├' : '│'
}

/** @param {string} label @param {number} width @param {string} left @param {string} right */
function border(label, width, left, right) {
  return `${left}${(label === '' ? '' : ` ${label} `).padEnd(width + 2, draw.horizontal)}${right}`
}

/** @param {string} text @param {number} width */
function inBox(text, width) {
  return `${draw.vertical} ${text.padEnd(width)} ${draw.vertical}`
}

/** @param {string} text @param {number} width */
function center(text, width) {
  const before = (width - text.length) >> 1
  return draw.cable.repeat(before) + text + draw.cable.repeat(width - text.length - before)
}
