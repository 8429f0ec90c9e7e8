/** Setting up of a link that something else made, as a tap: settings, addresses and snapshot in two round trips. */
import type { Namespace } from '../namespace/namespace.js'
import type { AddressInput } from './address-options.js'
import { addAddresses, fetchAfter } from './create-link.js'
import { Link } from './link.js'
import { linkMessage } from './link-attributes.js'
import { fetchLink, indexOfMaster } from './link-lookup.js'
import { checkNewLink, flagBits, type LinkSettings, settingAttributes, settingKeys } from './link-options.js'
import { allOrFirstError, change, requestThenRead } from './talk.js'

export interface LinkSetUp extends LinkSettings {
  addresses?: readonly AddressInput[]
}

/** Options of `configureLink`. */
export const setUpKeys = [...settingKeys, 'addresses'] as const

/** Throws ERR_INVALID_ARG_… when an option is wrong. */
export function checkLinkSetUp(options: LinkSetUp, path: string): void {
  checkNewLink(options, path, setUpKeys)
}

/** Gives an existing link its settings and addresses, and returns it. The options are checked. */
export async function configureLink(namespace: Namespace, name: string, options: LinkSetUp): Promise<Link> {
  const { addresses, ...settings } = options
  const masterFound = indexOfMaster(namespace, settings.master, 'options.master')
  const master = typeof masterFound === 'object' ? await masterFound : masterFound
  const asked = Object.values(settings).some((value) => value !== undefined)
  const set = (step: LinkSettings) =>
    change(namespace, {
      definition: linkMessage,
      request: 'RTM_NEWLINK',
      header: flagBits(step),
      attributes: { name, ...settingAttributes(step, step.master === undefined ? undefined : master) },
      what: `cannot set up ${name}`,
    })
  // The kernel brings a link up before it sets how its addresses are made: by then one is there.
  const upLater = settings.up === true && settings.addressGeneration !== undefined
  const steps = upLater ? [{ ...settings, up: undefined }, { up: true }] : [settings]
  const payload = asked
    ? await requestThenRead(
        allOrFirstError(steps.map(set)).then(() => {}),
        fetchAfter(namespace, name),
      )
    : await fetchLink(namespace, name, `cannot read ${name}`)
  const link = new Link(namespace, payload, false)
  await addAddresses(link, addresses)
  return link
}
