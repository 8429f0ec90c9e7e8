/** A map of what was built, drawn from the kernel's lists of links and addresses: none of it is written down here. */
import type { Link } from 'netkit'
import type { Place, Scene } from './scenes.js'
import { cyan, unicode } from './terminal.js'

/** A link as the map shows it; without one, the program. */
interface Row {
  text: string
  link?: Link
  node: Node
}

/** What gets a box. */
interface Node {
  label: string
  rows: Row[]
  bridges: Link[]
}

/** Two rows and what joins them. */
interface Cable {
  left: Row
  right: Row
  kind: string
}

/** What stands in one line left of the right box. */
interface Line {
  left: string
  cable?: Cable
}

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

/** Asks the kernel what is in a namespace: links that are up, their IPv4 addresses, bridges apart. */
async function look({ label, namespace }: Place): Promise<Node> {
  const [links, addresses] = await Promise.all([
    namespace.links.list({ up: true }),
    namespace.addresses.list({ family: 'inet' }),
  ])
  const shown = links.filter((link) => !link.flags.includes('LOOPBACK'))
  const node: Node = { label, rows: [], bridges: shown.filter((link) => link.kind === 'bridge') }
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
 */
function pairs(rows: Row[]): [Row, Row][] {
  const found: [Row, Row][] = []
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

/** Draws one scene. */
export async function drawMap({ places, program }: Scene): Promise<string[]> {
  const nodes = await Promise.all(places.map(look))
  const rows = nodes.flatMap((node) => node.rows)
  const joined = pairs(rows).map((ends) => ({ ends, kind: 'veth' }))
  if (program !== undefined) {
    const row = rows.find(({ link }) => link?.index === program.tap.link.index)
    const node: Node = { label: program.label, rows: [], bridges: [] }
    node.rows.push({ text: program.address, node })
    nodes.push(node)
    if (row && node.rows[0]) joined.push({ ends: [row, node.rows[0]], kind: `descriptor ${program.tap.fds[0]}` })
  }
  // The one with the most cables stands on the right, for all others to lead to.
  const cablesOf = (node: Node) => joined.filter(({ ends }) => ends.some((row) => row.node === node)).length
  const hub = nodes.reduce((best, node) => (cablesOf(node) >= cablesOf(best) ? node : best))
  const cables = joined.flatMap(({ ends, kind }): Cable[] => {
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

/** Boxes one below the other on the left, one box over the whole height on the right. */
function drawNodes(lefts: Node[], hub: Node, cables: Cable[]): string[] {
  const width = Math.max(
    ...lefts.flatMap(({ label, rows }) => [label.length + 1, ...rows.map(({ text }) => text.length)]),
  )
  const lines = lefts.flatMap((node): Line[] => [
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

/** What stands in the right box, line by line: its links, and on their right the bridge that joins them. */
function hubTexts({ bridges: [bridge] }: Node, lines: Line[]): string[] {
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

/** The piece of the line that joins a bridge's ports. */
function stemOf(i: number, first: number, last: number, port: boolean, labelled: boolean): string {
  if (first === last) return '─'
  const at = i === first ? 0 : i === last ? 2 : 1
  if (port) return (labelled ? '┬┼┴' : '┐┤┘').charAt(at)
  return labelled ? '├' : '│'
}

function border(label: string, width: number, left: string, right: string): string {
  return `${left}${(label === '' ? '' : ` ${label} `).padEnd(width + 2, draw.horizontal)}${right}`
}

function inBox(text: string, width: number): string {
  return `${draw.vertical} ${text.padEnd(width)} ${draw.vertical}`
}

function center(text: string, width: number): string {
  const before = (width - text.length) >> 1
  return draw.cable.repeat(before) + text + draw.cable.repeat(width - text.length - before)
}
