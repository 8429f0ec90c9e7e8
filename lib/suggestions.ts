/** What somebody meant who wrote a word that is not known here: one that is written nearly so, or iproute2's for the same. */

/** What iproute2 calls options that are called otherwise here: the first of these that the call takes is meant. */
const iproute2Words: Readonly<Record<string, readonly string[]>> = {
  address: ['mac'],
  brd: ['broadcast'],
  cburst: ['ceilingBurst'],
  ceil: ['ceiling'],
  default: ['defaultClass'],
  dev: ['link', 'device', 'port', 'parent'],
  dport: ['destinationPorts', 'destinationPort'],
  dsfield: ['tos'],
  dst: ['destination', 'to', 'address'],
  dstport: ['destinationPort', 'port'],
  extern_learn: ['externallyLearned'],
  fwmark: ['mark'],
  gateway: ['via'],
  gw: ['via'],
  hwaddr: ['mac'],
  ifname: ['name'],
  iif: ['inputLink'],
  ipproto: ['ipProtocol'],
  link: ['parent', 'device', 'port'],
  lladdr: ['mac'],
  local: ['address', 'source'],
  lookup: ['table'],
  metric: ['priority'],
  netns: ['namespace'],
  nhid: ['nexthopId'],
  not: ['invert'],
  nud: ['state'],
  numrxqueues: ['rxQueues'],
  numtxqueues: ['txQueues'],
  oif: ['outputLink', 'link'],
  perturb: ['perturbation'],
  pref: ['priority', 'preference'],
  preference: ['priority'],
  preferred_lft: ['preferredLifetime'],
  prio: ['priority'],
  priority: ['metric'],
  proto: ['protocol'],
  qlen: ['txQueueLength'],
  r2q: ['rateToQuantum'],
  realm: ['flow'],
  realms: ['flow'],
  sport: ['sourcePorts'],
  src: ['source', 'from', 'local'],
  srcport: ['portRange', 'sourcePorts'],
  txqlen: ['txQueueLength'],
  udpcsum: ['udpChecksum'],
  valid_lft: ['validLifetime'],
  vid: ['vlan', 'id'],
  vni: ['id'],
}

/** The same of words that other programs and Node.js have for it. */
const usualWords: Readonly<Record<string, readonly string[]>> = {
  bandwidth: ['rate'],
  host: ['address'],
  hostname: ['address', 'host'],
  iface: ['link', 'device', 'parent'],
  interface: ['link', 'device', 'parent'],
  latency: ['delay'],
  snaplen: ['snapshotLength'],
}

/** More of a list than this helps nobody. */
const MANY = 20

/** After `is not an option here; `: what is meant, or what there is. */
export function optionHint(word: string, known: readonly string[]): string {
  const meant = aliasIn(iproute2Words, word, known)
  const plural = [`${word}s`, `${word}es`].find((one) => known.includes(one))
  const or = plural === undefined ? '' : `; or did you mean '${plural}'?`
  if (meant !== undefined) return `iproute2's '${word}' is '${meant}' here${or}`
  const usual = aliasIn(usualWords, word, known)
  if (usual !== undefined) return `'${word}' is '${usual}' here`
  const near = nearest(word, known)
  if (near !== undefined) return `did you mean '${near}'?`
  const more = known.length > MANY + 1 ? ` and ${known.length - MANY} more` : ''
  return `the options are ${(more === '' ? known : known.slice(0, MANY)).join(', ')}${more}`
}

/** The first of a word's aliases that is known. */
function aliasIn(table: Readonly<Record<string, readonly string[]>>, word: string, known: readonly string[]) {
  return Object.hasOwn(table, word) ? table[word]?.find((alias) => known.includes(alias)) : undefined
}

/** What comes behind the complaint about a kind: the known one that is written nearly so, and nothing when there is none. */
export function kindHint(kind: string, known: readonly string[]): string {
  const near = kind === 'wg' ? 'wireguard' : nearest(kind, known)
  return near === undefined || !known.includes(near) ? '' : `; did you mean '${near}'?`
}

/** The known word within a few edits of an unknown one. */
function nearest(word: string, words: readonly string[]): string | undefined {
  let best: string | undefined
  // Of short words nearly every other is within two edits.
  let least = word.length < 6 ? 2 : 4
  for (const candidate of words) {
    const distance = editDistance(plain(word), plain(candidate))
    if (distance < least) {
      least = distance
      best = candidate
    }
  }
  return best
}

/** Without what tells the kernel's way to write a word from ours: mcast_snooping, multicastSnooping. */
function plain(word: string): string {
  return word.toLowerCase().replace(/[_-]/g, '').replace('mcast', 'multicast')
}

/** Edits that lead from one word to the other: a letter added, dropped or replaced, or two neighbors swapped. */
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : replaced
      next.push(Math.min(replaced, swapped, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}
