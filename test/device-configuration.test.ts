/** Parameters of IPv4 and IPv6 for a link, against the sysctls. */
import t from 'tap'
import { createVeth, type Link, type Namespace } from '../dist/index.js'
import { ipv4Parameters, ipv6Parameters, readParameters } from '../dist/rtnetlink/device-configuration.js'
import { needs } from './support/needs.js'
import { scratch } from './support/scratch.js'

const snake = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/** The sysctls of those keys that there are, as numbers. */
function sysctls(namespace: Namespace, family: 'ipv4' | 'ipv6', link: string, keys: readonly string[]) {
  const entries = keys.flatMap((key) => {
    try {
      return [[key, Number(namespace.sysctl.get(`net.${family}.conf.${link}.${snake(key)}`))]]
    } catch {
      return []
    }
  })
  return Object.fromEntries(entries) as Record<string, number>
}

/** Sysctls that are in seconds, or in another way not as rtnetlink has them. */
const inSeconds = ['tempValidLft', 'tempPreferedLft', 'maxDesyncFactor', 'acceptRaMinLft']
const intervals = [
  ...['routerSolicitationInterval', 'routerSolicitationDelay', 'routerSolicitationMaxInterval', 'routerProbeInterval'],
]

async function veth(t: Parameters<typeof scratch>[0]): Promise<{ red: Namespace; link: Link }> {
  const red = await scratch(t)
  const [link] = await createVeth({ name: 'eth0', namespace: red, up: true }, { namespace: red, up: true })
  return { red, link }
}

t.test('IPv4 as the sysctls have it', await needs('namespaces'), async (t) => {
  const { red, link } = await veth(t)
  const known = link.ipv4 as unknown as Record<string, number | boolean>
  const keys = ipv4Parameters.attributes.map(({ key }) => key)
  const expected = sysctls(red, 'ipv4', 'eth0', keys)
  t.ok(Object.keys(expected).length >= 30, `${Object.keys(expected).length} sysctls`)
  const numbers = Object.fromEntries(Object.keys(expected).map((key) => [key, Number(known[key])]))
  t.same(numbers, expected)
})

t.test('each of them can be set', await needs('namespaces'), async (t) => {
  const { red, link } = await veth(t)
  const known = link.ipv4 as unknown as Record<string, number | boolean>
  for (const [key, value] of Object.entries(known)) {
    if (key === 'mcForwarding') continue
    const wanted = typeof value === 'boolean' ? !value : value === 1 ? 2 : 1
    await link.set({ ipv4: { [key]: wanted } })
    t.equal((link.ipv4 as unknown as typeof known)[key], wanted, key)
    const [sysctl] = Object.values(sysctls(red, 'ipv4', 'eth0', [key]))
    // `tag`, `medium_id` and their like may have no sysctl.
    if (sysctl !== undefined) t.equal(sysctl, Number(wanted), `the sysctl of ${key}`)
  }
  red.sysctl.set('net.ipv4.conf.eth0.rp_filter', 2)
  t.equal((await link.refresh()).ipv4?.rpFilter, 2)
  await link.set({ ipv4: { forwarding: true, rpFilter: 0, arpIgnore: undefined } })
  t.match(link.ipv4, { forwarding: true, rpFilter: 0 }, 'several at once')
})

t.test('of a new link', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const [left, right] = await createVeth(
    { namespace: red, ipv4: { proxyArp: true } },
    { namespace: red, ipv4: { arpIgnore: 2 } },
  )
  t.equal(left.ipv4?.proxyArp, true)
  t.equal(right.ipv4?.arpIgnore, 2)
})

t.test('IPv6 as the sysctls have it', await needs('namespaces'), async (t) => {
  const { red, link } = await veth(t)
  red.sysctl.set('net.ipv6.conf.eth0.accept_ra', 2)
  red.sysctl.set('net.ipv6.conf.eth0.router_solicitation_interval', 5)
  red.sysctl.set('net.ipv6.conf.eth0.temp_valid_lft', 1234)
  await link.refresh()
  const known = link.ipv6 as unknown as Record<string, number | boolean>
  const expected = sysctls(
    red,
    'ipv6',
    'eth0',
    ipv6Parameters.attributes.map(({ key }) => key),
  )
  t.ok(Object.keys(expected).length >= 50, `${Object.keys(expected).length} sysctls`)
  const numbers = Object.fromEntries(
    Object.keys(expected).map((key) => {
      const scale = inSeconds.includes(key) || intervals.includes(key) ? 1000 : 1
      return [key, Number(known[key]) / scale]
    }),
  )
  t.same(numbers, expected)
  t.match(known, { acceptRa: 2, routerSolicitationInterval: 5000, tempValidLft: 1_234_000 })
})

t.test('arrays that are shorter and longer', (t) => {
  const table = ipv4Parameters as never
  const numbers = (...list: number[]) => new Uint8Array(Int32Array.from(list).buffer)
  t.same(readParameters(table, 1, numbers(1, 0, 1)), { forwarding: true, mcForwarding: false, proxyArp: true })
  t.same(readParameters(table, 1, numbers()), {})
  t.same(readParameters(table, 1, numbers(1).subarray(0, 3)), {}, 'a part of a number is none')
  const long = readParameters(table, 1, numbers(...Array.from({ length: 80 }, () => 7))) as Record<string, unknown>
  t.equal(Object.keys(long).length, ipv4Parameters.attributes.length)
  t.equal(readParameters(table, 1, undefined), undefined)
  t.end()
})
