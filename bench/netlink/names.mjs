// The names and addresses that all programs give things.
const network = (i) => `10.${i >> 8}.${i & 255}`

/** The ends of a pair, for createVeth. */
export const ends = (i, namespace) => [
  { name: `a${i}`, namespace, addresses: [`${network(i)}.1/24`], up: true },
  { name: `b${i}`, namespace, addresses: [`${network(i)}.2/24`], up: true },
]

/** The same as words for `ip`. */
export const steps = (i) => [
  `link add a${i} type veth peer name b${i}`,
  `link set a${i} up`,
  `link set b${i} up`,
  `address add ${network(i)}.1/24 dev a${i}`,
  `address add ${network(i)}.2/24 dev b${i}`,
]

/** A single host, which a route leads to. */
export const host = (i) => `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32`
