/** IP protocols by name: IPPROTO_… (linux/in.h). */
import { headerWords } from '../../netlink/header-words.js'
import { valueError } from '../../validate.js'
import { checkCount } from './units.js'

export const ipProtocols = headerWords(
  'IPPROTO_',
  { icmp: 1, igmp: 2, tcp: 6, udp: 17, ipv6: 41, gre: 47, esp: 50, ah: 51, icmpv6: 58, sctp: 132 },
  { icmpv6: null },
)

export type IpProtocol = keyof typeof ipProtocols | number

export function checkIpProtocol(value: unknown, name: string): number {
  if (typeof value !== 'string') return checkCount(value, name, 0, 255)
  const number = Object.hasOwn(ipProtocols, value) ? ipProtocols[value as keyof typeof ipProtocols] : undefined
  if (number === undefined)
    throw valueError(name, value, `expected one of ${Object.keys(ipProtocols).join(', ')}, or a number`)
  return number
}

export function readIpProtocol(number: number): IpProtocol {
  const names = Object.keys(ipProtocols) as (keyof typeof ipProtocols)[]
  return names.find((name) => ipProtocols[name] === number) ?? number
}
