/** Lists of IP addresses as attributes that are numbered from 0, as a bond has them. */
import { type AttributeType, ip, Malformed } from '../../netlink/attribute.js'
import { LITTLE_ENDIAN } from '../../netlink/bytes.js'
import { forEachAttribute } from '../../netlink/table.js'
import { typeError, valueError } from '../../validate.js'

/** Addresses of one family, told by their length in octets. */
export function ipList(octets: 4 | 16): AttributeType<string[]> {
  const family = octets === 4 ? 'IPv4' : 'IPv6'
  return {
    decode(source, offset, length, context) {
      const addresses: string[] = []
      forEachAttribute(source, offset, offset + length, (_type, start, size) => {
        if (size !== octets) throw new Malformed(`has ${size} bytes where ${octets} make an address`)
        addresses.push(ip.decode(source, start, size, context))
      })
      return addresses
    },
    encode(writer, addresses, name, context) {
      if (!Array.isArray(addresses)) throw typeError(name, 'an array of addresses', addresses)
      addresses.forEach((address, i) => {
        const start = writer.reserve(4)
        ip.encode(writer, address, `${name}[${i}]`, context)
        if (writer.length - start !== 4 + octets) throw valueError(`${name}[${i}]`, address, `is no ${family} address`)
        writer.view.setUint16(start, 4 + octets, LITTLE_ENDIAN)
        writer.view.setUint16(start + 2, i, LITTLE_ENDIAN)
      })
    },
  }
}
