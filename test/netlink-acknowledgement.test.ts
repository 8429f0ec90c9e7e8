/** Acknowledgements and refusals: what the kernel sent, cut and lying ones, and the names that come out of an offset. */
import { test } from 'tap'
import { type Acknowledgement, decodeAcknowledgement, refusal } from '../dist/netlink/acknowledgement.js'
import { linkMessage } from '../dist/rtnetlink/link-attributes.js'
import * as acknowledgements from './captures/acknowledgements.js'
import { messageOf, capture as raw } from './captures/capture.js'
// Loads every file that has a table.
import '../dist/index.js'

test('acknowledgements', (t) => {
  const cases = [
    [acknowledgements.acknowledgement, 0, {}],
    [acknowledgements.noDevice, 19, {}],
    [acknowledgements.done, 0, {}],
    [acknowledgements.failedDump, 22, { message: 'Filter by device index not supported for link dumps' }],
    [acknowledgements.refusal, 34, { message: 'Attribute failed policy validation', offset: 68 }],
    [acknowledgements.wholeRefusal, 34, { message: 'Attribute failed policy validation', offset: 68 }],
  ] as const
  for (const [bytes, errno, extended] of cases) {
    const result = decodeAcknowledgement(messageOf(bytes))
    t.equal(result.errno, errno)
    t.match(result.extended, extended)
    t.equal(Object.keys(result.extended).length > 0, Object.keys(extended).length > 0)
  }
  t.equal(decodeAcknowledgement(messageOf(raw('10000000 03000200 01000000 00000000'))).errno, 0, 'an empty NLMSG_DONE')
  const positive = raw('14000000 03000200 01000000 00000000 05000000')
  t.equal(decodeAcknowledgement(messageOf(positive)).errno, 0, 'a positive number in NLMSG_DONE is no error')
  t.end()
})

test('a lying extended acknowledgement does not hide the errno', (t) => {
  const bytes = Buffer.from(acknowledgements.refusal)
  bytes.writeUInt16LE(0x7fff, 36)
  t.same(decodeAcknowledgement(messageOf(bytes)), { errno: 34, extended: {} })
  const whole = Buffer.from(acknowledgements.wholeRefusal)
  whole.writeUInt32LE(0x7fff_ffff, 20)
  t.same(decodeAcknowledgement(messageOf(whole)), { errno: 34, extended: {} })
  for (let length = 20; length < acknowledgements.refusal.length; length++) {
    const cut = Buffer.from(acknowledgements.refusal.subarray(0, length))
    cut.writeUInt32LE(length, 0)
    t.equal(decodeAcknowledgement(messageOf(cut)).errno, 34)
  }
  t.end()
})

test('a refusal names the attribute', (t) => {
  const description = { what: 'cannot create br1', syscall: 'RTM_NEWLINK', definition: linkMessage }
  const request = acknowledgements.refusedRequest
  const refusalOf = (extended: Acknowledgement['extended']) => refusal({ errno: 34, extended }, request, description)
  t.match(refusal(decodeAcknowledgement(messageOf(acknowledgements.refusal)), request, description), {
    message:
      'cannot create br1: Attribute failed policy validation (ERANGE, RTM_NEWLINK, IFLA_INFO_DATA.IFLA_BR_PRIORITY)',
    code: 'ERANGE',
    errno: -34,
    syscall: 'RTM_NEWLINK',
    kernelMessage: 'Attribute failed policy validation',
    attribute: 'IFLA_INFO_DATA.IFLA_BR_PRIORITY',
  })
  const places: [number, string | undefined][] = [
    [0, undefined],
    [16, undefined],
    [31, undefined],
    [32, 'IFLA_IFNAME'],
    [39, 'IFLA_IFNAME'],
    [40, 'IFLA_LINKINFO'],
    [44, 'IFLA_LINKINFO.IFLA_INFO_KIND'],
    [56, 'IFLA_LINKINFO.IFLA_INFO_DATA'],
    [59, 'IFLA_LINKINFO.IFLA_INFO_DATA'],
    [60, 'IFLA_INFO_DATA.IFLA_BR_HELLO_TIME'],
    [68, 'IFLA_INFO_DATA.IFLA_BR_PRIORITY'],
    [72, 'IFLA_INFO_DATA.IFLA_BR_PRIORITY'],
    [76, undefined],
    [0xffff_ffff, undefined],
  ]
  for (const [offset, attribute] of places) t.equal(refusalOf({ offset }).attribute, attribute, `offset ${offset}`)
  t.match(refusalOf({ missingType: 6, missingNest: 56 }), {
    kernelMessage: 'numerical result out of range (missing: IFLA_INFO_DATA.IFLA_BR_PRIORITY)',
  })
  t.match(refusalOf({ message: 'Wanted', missingType: 13 }), { kernelMessage: 'Wanted (missing: IFLA_TXQLEN)' })
  t.match(refusalOf({ missingType: 2, missingNest: 40 }).message, '(missing: IFLA_LINKINFO.IFLA_INFO_DATA)')
  t.match(refusalOf({ missingType: 999 }).message, '(missing: attribute 999)')
  t.match(refusalOf({ missingType: 999, missingNest: 40 }).message, '(missing: IFLA_LINKINFO.attribute 999)')
  t.end()
})

test('the hint is asked for when it is about privileges', (t) => {
  let asked = 0
  const hint = () => {
    asked++
    return 'become root'
  }
  const description = { what: 'cannot', syscall: 'RTM_NEWLINK', definition: linkMessage, hint }
  for (const errno of [1, 13]) {
    t.match(refusal({ errno, extended: {} }, acknowledgements.refusedRequest, description), { hint: 'become root' })
  }
  t.equal(refusal({ errno: 17, extended: {} }, acknowledgements.refusedRequest, description).hint, undefined)
  t.equal(asked, 2)
  t.end()
})
