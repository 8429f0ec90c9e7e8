/** Addresses: RTM_NEWADDR. */
import { addressMessage, readAddress } from '../../dist/rtnetlink/address.js'
import { messageTarget } from './target.js'

export const targets = [messageTarget('addresses', addressMessage, readAddress)]
