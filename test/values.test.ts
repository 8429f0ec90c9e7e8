/** IP and MAC addresses between their text and their octets. */
import { deepStrictEqual, strictEqual } from 'node:assert'
import { isIP, SocketAddress } from 'node:net'
import fc from 'fast-check'
import { type Test, test } from 'tap'
import {
  broadcastOf,
  checkIp,
  checkPrefix,
  familyOf,
  formatIp,
  formatPrefix,
  maskOctets,
  parseIp,
} from '../dist/values/ip.js'
import { checkInterfaceMac, checkMac, formatMac, parseMac } from '../dist/values/mac.js'
import { needs } from './support/needs.js'
import { ip, scratch } from './support/scratch.js'

/** Fails the test with the smallest counterexample when a property does not hold. */
function holds(t: Test, what: string, property: fc.IRawProperty<unknown>, numRuns = 1000): void {
  try {
    fc.assert(property, { numRuns })
    t.pass(what)
  } catch (error) {
    t.fail(what, { found: (error as Error).message })
  }
}

const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
/** Addresses with many zeros, which is what is shortened. */
const sparse = fc
  .array(fc.oneof(fc.constant(0), fc.constant(0xffff), fc.nat({ max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((words) => Uint8Array.from(words.flatMap((word) => [word >> 8, word & 0xff])))
const any6 = fc.oneof(octets(16), sparse)
const nearAddress = fc.string({ unit: fc.constantFrom(...'0123456789abcdefF:.%/ x'), maxLength: 40 })
/** An address with a character changed, put in, or taken away. */
const spoilt = fc
  .tuple(
    fc.oneof(fc.ipV4(), fc.ipV6()),
    fc.nat(),
    fc.constantFrom('', '0', '1', ':', '::', '.', '256', 'g', '%', ' '),
    fc.boolean(),
  )
  .map(([text, at, what, replace]) => {
    const place = at % (text.length + 1)
    return text.slice(0, place) + what + text.slice(place + (replace ? 1 : 0))
  })

const shortHex = (text: string) => Buffer.from(parseIp(text) ?? []).toString('hex')

test('an address is one when Node says so, but for zones', (t) => {
  const agrees = (text: string) => {
    const result = parseIp(text)
    strictEqual(result?.length ?? 0, text.includes('%') ? 0 : { 0: 0, 4: 4, 6: 16 }[isIP(text)])
  }
  holds(t, 'IPv4', fc.property(fc.ipV4(), agrees))
  holds(t, 'IPv6', fc.property(fc.ipV6(), agrees))
  holds(t, 'nearly', fc.property(spoilt, agrees), 5000)
  holds(t, 'something like it', fc.property(nearAddress, agrees), 5000)
  for (const text of [
    '',
    '0',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '1.2.3.04',
    '1.2.3.256',
    '1..2.3',
    '.1.2.3',
    '1.2.3.',
    ' 1.2.3.4',
    '0x1.2.3.4',
    '1.2.3.4\n',
    '4294967295',
    '::1%lo',
    ':::',
    '1::2::3',
    '12345::',
    '::1.2.3',
    '::1.2.3.4.5',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '::ffff:1.2.3.256',
    'fe80::1%1',
    '[::1]',
    '::1/64',
    '１.2.3.4',
  ]) {
    t.equal(parseIp(text), undefined, `'${text}' is none`)
    agrees(text)
  }
  t.end()
})

test('octets -> text -> octets is the identity', (t) => {
  holds(
    t,
    'IPv4',
    fc.property(octets(4), (value) => deepStrictEqual(parseIp(formatIp(value)), value)),
  )
  holds(
    t,
    'IPv6',
    fc.property(any6, (value) => deepStrictEqual(parseIp(formatIp(value)), value)),
    3000,
  )
  holds(
    t,
    'in the middle of others',
    fc.property(fc.oneof(octets(4), any6), octets(3), (value, around) => {
      const bytes = Buffer.concat([around, value, around])
      strictEqual(formatIp(bytes, 3, value.length), formatIp(value))
    }),
  )
  holds(
    t,
    'MAC',
    fc.property(octets(6), (value) => deepStrictEqual(parseMac(formatMac(value)), value)),
  )
  t.end()
})

test('addresses are written as inet_ntop(3) writes them', (t) => {
  const family = (value: Uint8Array) => (value.length === 4 ? 'ipv4' : 'ipv6')
  const agrees = (value: Uint8Array) => {
    const text = formatIp(value)
    // libuv shows 15 zeros and an octet as '::0.0.0.2'; glibc, which iproute2 uses, as '::2'.
    fc.pre(value.length === 4 || value.subarray(0, 14).some((octet) => octet !== 0))
    strictEqual(text, new SocketAddress({ address: text, family: family(value) }).address)
  }
  holds(t, 'IPv4', fc.property(octets(4), agrees))
  holds(t, 'IPv6', fc.property(any6, agrees), 3000)
  // RFC 5952 and RFC 4291 section 2.5.5.
  const cases = {
    '2001:db8:0:0:1:0:0:1': '2001:db8::1:0:0:1',
    '2001:0db8::0001': '2001:db8::1',
    '2001:db8:0:1:1:1:1:1': '2001:db8:0:1:1:1:1:1',
    '2001:0:0:1:0:0:0:1': '2001:0:0:1::1',
    '2001:DB8::AAAA': '2001:db8::aaaa',
    '0:0:0:0:0:0:0:0': '::',
    '0:0:0:0:0:0:0:1': '::1',
    '::2': '::2',
    '::1:0': '::0.1.0.0',
    '1::': '1::',
    '::ffff:c000:207': '::ffff:192.0.2.7',
    '::192.0.2.7': '::192.0.2.7',
    '64:ff9b::192.0.2.7': '64:ff9b::c000:207',
    'fe80::1:0:0:0': 'fe80::1:0:0:0',
    '1:0:0:2:0:0:0:3': '1:0:0:2::3',
    '1:2:3:4:5:6:0:0': '1:2:3:4:5:6::',
    '0:0:3:4:5:6:7:8': '::3:4:5:6:7:8',
    '0:2:3:4:5:6:7:8': '0:2:3:4:5:6:7:8',
  }
  for (const [text, expected] of Object.entries(cases))
    t.equal(formatIp(parseIp(text) ?? new Uint8Array(16)), expected, text)
  t.equal(shortHex('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008')
  t.equal(shortHex('ab::1.2.3.4'), '00ab0000000000000000000001020304')
  t.equal(shortHex('255.0.1.10'), 'ff00010a')
  t.end()
})

test('addresses are written as iproute2 writes them', await needs('namespaces', 'ip'), async (t) => {
  const namespace = await scratch(t)
  const samples = fc.sample(any6, 60).filter((value) => value[0] !== 0xff && value.some((octet) => octet !== 0))
  const fixed = [
    '::2',
    '::1.2.3.4',
    '::ffff:1.2.3.4',
    '2001:db8:0:0:1:0:0:1',
    '2001:db8:0:1:1:1:1:1',
    '2001:0:0:1:0:0:0:1',
  ]
  const texts = [
    ...new Set([...samples.map((value) => formatIp(value)), ...fixed.map((text) => formatIp(checkIp(text, 'text')))]),
  ]
  const macs = fc.sample(octets(5), 3).map((value) => formatMac(Uint8Array.of(2, ...value)))
  const lines = [
    'link set lo up',
    ...texts.map((text) => `route add ${text} dev lo table 100`),
    ...macs.map((mac, i) => `link add br${i} address ${mac} type bridge`),
  ]
  await namespace.exec('ip', ['-6', '-batch', '-'], { check: true, input: `${lines.join('\n')}\n` })
  const routes: { dst: string }[] = await ip(namespace, '-6', 'route', 'show', 'table', '100')
  t.same(routes.map(({ dst }) => dst).sort(), texts.sort())
  const links: { ifname: string; address: string }[] = await ip(namespace, 'link', 'show', 'type', 'bridge')
  t.same(
    links.map(({ address }) => address),
    macs,
  )
})

test('prefixes', (t) => {
  const number = (value: Uint8Array) => BigInt(`0x${Buffer.from(value).toString('hex')}`)
  const octetsOf = (value: bigint, length: number) => Buffer.from(value.toString(16).padStart(2 * length, '0'), 'hex')
  const address = fc.oneof(octets(4), octets(16))
  const prefix = fc
    .tuple(address, fc.nat({ max: 128 }))
    .map(([value, length]): [Uint8Array, number] => [value, length % (8 * value.length + 1)])
  holds(
    t,
    'the network and the last address are those that arithmetic finds',
    fc.property(prefix, ([value, length]) => {
      const bits = BigInt(8 * value.length - length)
      const network = (number(value) >> bits) << bits
      deepStrictEqual(Buffer.from(maskOctets(value, length)), octetsOf(network, value.length))
      deepStrictEqual(Buffer.from(broadcastOf(value, length)), octetsOf(network | ((1n << bits) - 1n), value.length))
    }),
  )
  holds(
    t,
    'text -> prefix -> text',
    fc.property(prefix, ([value, length]) => {
      const text = formatPrefix(value, length)
      deepStrictEqual(checkPrefix(text, 'address'), { family: familyOf(value), octets: value, prefixLength: length })
    }),
  )
  t.match(checkPrefix('10.0.0.1', 'address', true), { family: 2, prefixLength: 32 })
  t.match(checkPrefix('::1', 'address', true), { family: 10, prefixLength: 128 })
  t.match(checkPrefix('0.0.0.0/0', 'address'), { prefixLength: 0 })
  const refused: [string, RegExp][] = [
    ['10.0.0.1', /^address '10\.0\.0\.1': the prefix length is missing, as in '10\.0\.0\.1\/24'$/],
    ['fd00::1', /as in 'fd00::1\/64'/],
    ['10.0.0.1/33', /from 0 to 32/],
    ['10.0.0.1/-1', /from 0 to 32/],
    ['10.0.0.1/', /from 0 to 32/],
    ['10.0.0.1/ 8', /from 0 to 32/],
    ['10.0.0.1/8.0', /from 0 to 32/],
    ['10.0.0.1/1e1', /from 0 to 32/],
    ['10.0.0.1/24/24', /from 0 to 32/],
    ['10.0.0.1/255.0.0.0', /from 0 to 32/],
    ['fd00::1/129', /from 0 to 128/],
    ['10.0.1/24', /an IPv4 address is four numbers/],
    ['010.0.0.1/24', /without leading zeros/],
    ['fe80::1%eth0/64', /no zone/],
    ['', /is not an IPv4 or IPv6 address/],
    ['/24', /is not an IPv4 or IPv6 address/],
    ['eth0', /is not an IPv4 or IPv6 address/],
  ]
  for (const [text, message] of refused) {
    t.throws(() => checkPrefix(text, 'address'), { name: 'RangeError', code: 'ERR_INVALID_ARG_VALUE', message })
  }
  for (const value of [undefined, null, 24, {}, ['10.0.0.1/24']]) {
    t.throws(() => checkPrefix(value, 'address'), {
      name: 'TypeError',
      code: 'ERR_INVALID_ARG_TYPE',
      message: /^address must be a string/,
    })
    t.throws(() => checkIp(value, 'address'), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
  }
  t.end()
})

test('MAC addresses', (t) => {
  const hex = (text: string) => parseMac(text) && Buffer.from(parseMac(text) ?? []).toString('hex')
  t.equal(hex('02:00:00:00:00:0a'), '02000000000a')
  t.equal(hex('02-00-00-00-00-0A'), '02000000000a')
  t.equal(hex('FF:ff:Ff:fF:00:01'), 'ffffffff0001')
  for (const text of [
    '',
    '02:00:00:00:00',
    '02:00:00:00:00:00:00',
    '02:00:00-00:00:00',
    '2:0:0:0:0:1',
    '020000000001',
    '0200.0000.0001',
    '02:00:00:00:00:0g',
    ' 02:00:00:00:00:00',
    '02:00:00:00:00:00\n',
  ]) {
    t.equal(parseMac(text), undefined, JSON.stringify(text))
    t.throws(() => checkMac(text, 'mac'), {
      name: 'RangeError',
      code: 'ERR_INVALID_ARG_VALUE',
      message: /^mac '.*': a MAC address is six/,
    })
  }
  const refused: [string, RegExp][] = [
    ['01:00:00:00:00:01', /multicast/],
    ['ff:ff:ff:ff:ff:ff', /multicast/],
    ['00:00:00:00:00:00', /all zeros/],
  ]
  for (const [text, message] of refused) {
    t.equal(checkMac(text, 'mac').length, 6)
    t.throws(() => checkInterfaceMac(text, 'mac'), { name: 'RangeError', code: 'ERR_INVALID_ARG_VALUE', message })
  }
  t.same(checkInterfaceMac('02:00:00:00:00:01', 'mac'), Buffer.from('020000000001', 'hex'))
  t.throws(() => checkMac(1, 'mac'), { name: 'TypeError', code: 'ERR_INVALID_ARG_TYPE' })
  t.equal(formatMac(new Uint8Array()), '')
  t.equal(formatMac(Uint8Array.of(10, 0, 0, 1)), '0a:00:00:01')
  t.equal(formatMac(Uint8Array.of(1, 2, 3, 4), 1, 2), '02:03')
  t.end()
})
