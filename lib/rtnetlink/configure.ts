/** Setting up of a link that something else made, as a tap: settings, addresses and snapshot in two round trips. */
import type { Namespace } from '../namespace/namespace.js'
import type { AddressInput } from './address-options.js'
import { addAddresses, fetchAfter } from './create-link.js'
import { Link } from './link.js'
import { linkMessage } from './link-attributes.js'
import { fetchLink, indexOfMaster } from './link-lookup.js'
import { flagBits, type LinkSettings, settingAttributes } from './link-options.js'
import { change, requestThenRead } from './talk.js'

export interface LinkSetUp extends Pick<LinkSettings, 'up' | 'mtu' | 'mac' | 'master'> {
  addresses?: readonly AddressInput[]
}

/** Gives an existing link its settings and addresses, and returns it. The options are checked. */
export async function configureLink(namespace: Namespace, name: string, options: LinkSetUp): Promise<Link> {
  const { addresses, ...settings } = options
  const masterFound = indexOfMaster(namespace, settings.master, 'options.master')
  const master = typeof masterFound === 'object' ? await masterFound : masterFound
  const asked = Object.values(settings).some((value) => value !== undefined)
  const payload = asked
    ? await requestThenRead(
        change(namespace, {
          definition: linkMessage,
          request: 'RTM_NEWLINK',
          header: flagBits(settings),
          attributes: { name, ...settingAttributes(settings, master) },
          what: `cannot set up ${name}`,
        }),
        fetchAfter(namespace, name),
      )
    : await fetchLink(namespace, name, `cannot read ${name}`)
  const link = new Link(namespace, payload, false)
  await addAddresses(link, addresses)
  return link
}
