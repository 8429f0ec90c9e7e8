/** Checks of the encapsulations that callers ask for. */
import { checkBoolean, checkInteger, checkOneOf, checkOptions, typeError, valueError } from '../validate.js'
import { AF_INET, AF_INET6, checkIp, familyOf } from '../values/ip.js'
import type { Encapsulation, EncapsulationRow, TunnelEncapsulation } from './encapsulation.js'
import { encapsulationTypes, segmentActions, segmentModes, tunnelFlags } from './encapsulation-tables.js'
import { checkLinkReference, type LinkReference } from './link-options.js'
import { checkLabels } from './mpls-labels.js'

const keys: Readonly<Record<string, readonly string[]>> = {
  mpls: ['type', 'labels', 'ttl'],
  ip: ['type', 'id', 'destination', 'source', 'ttl', 'tos', 'flags'],
  ip6: ['type', 'id', 'destination', 'source', 'ttl', 'tos', 'flags'],
  seg6: ['type', 'mode', 'segments'],
  seg6local: [
    ...['type', 'action', 'segments', 'table', 'vrfTable', 'nexthop4', 'nexthop6', 'inputLink', 'outputLink', 'count'],
    'counters',
  ],
  xfrm: ['type', 'interfaceId', 'link'],
}

/** More segments than that make a header that is longer than it can say (RFC 8754: 8-bit length in units of 8 bytes). */
const MOST_SEGMENTS = 126
const U32 = 0xffff_ffff

export function checkEncapsulation(wanted: Encapsulation | EncapsulationRow, name: string): void {
  if (typeof wanted !== 'object' || wanted === null) throw typeError(name, 'an object', wanted)
  const { type } = wanted
  if (typeof type === 'number') {
    checkInteger(type, `${name}.type`, 1, 0xffff)
    const known = Object.entries(encapsulationTypes).find(([word, number]) => number === type && keys[word])
    if (known !== undefined) throw valueError(`${name}.type`, type, `write it '${known[0]}', with its options in words`)
  } else checkOneOf(type, `${name}.type`, Object.keys(encapsulationTypes))
  checkOptions(wanted, name, keys[type] ?? ['type', 'data'])
  if ('data' in wanted || keys[type] === undefined) {
    const { data } = wanted as { data: unknown }
    if (!(data instanceof Uint8Array)) throw typeError(`${name}.data`, 'a Uint8Array', data)
    return
  }
  checkWords(wanted as Exclude<Encapsulation, { data: Uint8Array }>, name)
}

function checkWords(wanted: Exclude<Encapsulation, { data: Uint8Array }>, name: string): void {
  switch (wanted.type) {
    case 'mpls':
      checkLabels(wanted.labels, `${name}.labels`)
      if (wanted.ttl !== undefined) checkInteger(wanted.ttl, `${name}.ttl`, 1, 255)
      return
    case 'ip':
    case 'ip6':
      checkTunnel(wanted, name)
      return
    case 'seg6':
      checkOneOf(wanted.mode, `${name}.mode`, Object.keys(segmentModes))
      checkSegments(wanted.segments, `${name}.segments`)
      return
    case 'seg6local': {
      const { action, segments, table, vrfTable, nexthop4, nexthop6, inputLink, outputLink, count } = wanted
      if (typeof action === 'number') checkInteger(action, `${name}.action`, 1, U32)
      else checkOneOf(action, `${name}.action`, Object.keys(segmentActions))
      if (segments !== undefined) checkSegments(segments, `${name}.segments`)
      if (table !== undefined) checkInteger(table, `${name}.table`, 0, U32)
      if (vrfTable !== undefined) checkInteger(vrfTable, `${name}.vrfTable`, 0, U32)
      if (nexthop4 !== undefined) checkFamily(nexthop4, `${name}.nexthop4`, AF_INET)
      if (nexthop6 !== undefined) checkFamily(nexthop6, `${name}.nexthop6`, AF_INET6)
      if (inputLink !== undefined) checkLinkReference(inputLink, `${name}.inputLink`)
      if (outputLink !== undefined) checkLinkReference(outputLink, `${name}.outputLink`)
      if (count !== undefined) checkBoolean(count, `${name}.count`)
      return
    }
    case 'xfrm':
      checkInteger(wanted.interfaceId, `${name}.interfaceId`, 1, U32)
      if (wanted.link !== undefined) checkLinkReference(wanted.link, `${name}.link`)
  }
}

function checkTunnel({ type, id, destination, source, ttl, tos, flags }: TunnelEncapsulation, name: string): void {
  if (typeof id === 'bigint') {
    if (id < 0n || id > 0xffff_ffff_ffff_ffffn) throw valueError(`${name}.id`, id, 'has more than 64 bits')
  } else if (id !== undefined) checkInteger(id, `${name}.id`, 0, Number.MAX_SAFE_INTEGER)
  const family = type === 'ip' ? AF_INET : AF_INET6
  if (destination !== undefined) checkFamily(destination, `${name}.destination`, family)
  if (source !== undefined) checkFamily(source, `${name}.source`, family)
  if (ttl !== undefined) checkInteger(ttl, `${name}.ttl`, 0, 255)
  if (tos !== undefined) checkInteger(tos, `${name}.tos`, 0, 255)
  if (flags === undefined) return
  if (!Array.isArray(flags)) throw typeError(`${name}.flags`, 'an array', flags)
  flags.forEach((flag, i) => {
    checkOneOf(flag, `${name}.flags[${i}]`, Object.keys(tunnelFlags))
  })
}

function checkFamily(address: unknown, name: string, family: number): void {
  if (familyOf(checkIp(address, name)) !== family) {
    throw valueError(name, address, `is not an ${family === AF_INET ? 'IPv4' : 'IPv6'} address`)
  }
}

function checkSegments(segments: unknown, name: string): void {
  if (!Array.isArray(segments)) throw typeError(name, 'an array of IPv6 addresses', segments)
  if (segments.length === 0 || segments.length > MOST_SEGMENTS) {
    throw valueError(name, segments, `there must be 1 to ${MOST_SEGMENTS} segments`)
  }
  segments.forEach((segment, i) => {
    checkFamily(segment, `${name}[${i}]`, AF_INET6)
  })
}

/** The links that an encapsulation names, by their option's key. */
export function linksOfEncapsulation(wanted: Encapsulation | EncapsulationRow): Record<string, LinkReference> {
  const links: Record<string, LinkReference> = {}
  if (wanted.type !== 'seg6local' && wanted.type !== 'xfrm') return links
  const { inputLink, outputLink, link } = wanted as Record<string, LinkReference | undefined>
  if (inputLink !== undefined) links.inputLink = inputLink
  if (outputLink !== undefined) links.outputLink = outputLink
  if (link !== undefined) links.link = link
  return links
}
