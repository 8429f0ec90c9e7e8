/** Addresses, as a watch sees them. */
import { type Address, addressMessage, readAddress } from '../address.js'
import { rtnetlinkConstants } from '../constants.js'
import { goneWithLink, type Observed, sameBut } from './observed.js'

const { RTM_NEWADDR, RTM_DELADDR, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR } = rtnetlinkConstants

/** Lifetimes run down between two looks: what counts is whether there is one. */
function sameAddress(a: Address, b: Address): boolean {
  return (
    Number.isFinite(a.validLifetime) === Number.isFinite(b.validLifetime) &&
    Number.isFinite(a.preferredLifetime) === Number.isFinite(b.preferredLifetime) &&
    sameBut(a, b, ['validLifetime', 'preferredLifetime'])
  )
}

export const observedAddress: Observed<Address> = {
  object: 'address',
  groups: [RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR],
  there: RTM_NEWADDR,
  gone: RTM_DELADDR,
  needs: ['link'],
  list: (namespace) => namespace.addresses.stream(),
  read: (_, message) => readAddress(addressMessage.decode(message)),
  key: ({ index, address, peer }) => `${index} ${address} ${peer ?? ''}`,
  same: sameAddress,
  placesOf: ({ index, family }) => [index, `${index} ${family}`],
  after: goneWithLink,
}
