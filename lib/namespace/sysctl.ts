/** The kernel parameters of a namespace (sysctl(8)): the files under /proc/sys/net, as seen from inside. */
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'
import { namedError } from '../errors.js'
import { checkString, typeError, valueError } from '../validate.js'
import { failedWith, fromSystemError } from './failure.js'
import { capabilityHint, handleOf } from './internal.js'
import type { Namespace } from './namespace.js'
import { runInside } from './run.js'

/**
 * The kernel parameters of one namespace.
 *
 * Names are those of sysctl(8), `net.ipv4.ip_forward` or `net/ipv4/ip_forward`. When the first separator is a dot, a slash
 * stands for a dot inside of a part: `net.ipv4.conf.eth0/100.rp_filter` is that of the interface `eth0.100`. Only those under
 * `net` belong to a network namespace; another name is a RangeError. Some under `net` exist in the initial namespace only.
 *
 * Errors: ENOENT (no such parameter here), EACCES (it can only be read, only be written, or takes CAP_NET_ADMIN), EINVAL
 * (the kernel does not take the value), EISDIR.
 */
export class Sysctl {
  readonly #namespace: Namespace

  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  /** The value, without the line feed at its end. Several numbers have tabs between them, as the kernel writes them. */
  get(name: string): string {
    const path = pathOf(name)
    return this.#inside(`cannot read ${name}`, name, () => readFileSync(path, 'utf8').replace(/\n$/, ''))
  }

  /**
   * Sets the value. `true` and `false` are 1 and 0.
   *
   * Some keys take the lock under which the kernel changes its network configuration (RTNL): those of forwarding
   * (`net.ipv4.ip_forward`, `net.ipv6.conf.*.forwarding`), `disable_ipv6` and a few more. Setting one of these blocks the
   * calling thread for as long as another change takes that is under way, in whatever namespace.
   */
  set(name: string, value: string | number | boolean): void {
    const path = pathOf(name)
    const text = textOf(value)
    this.#inside(`cannot set ${name} to ${text}`, name, () => {
      // Without O_CREAT: an unknown name is ENOENT and not EACCES.
      const fd = openSync(path, constants.O_WRONLY | constants.O_TRUNC)
      try {
        writeSync(fd, `${text}\n`)
      } finally {
        closeSync(fd)
      }
    })
  }

  #inside<T>(message: string, name: string, fn: () => T): T {
    const handle = handleOf(this.#namespace)
    try {
      return runInside(handle.descriptor, handle.label, fn)
    } catch (error) {
      if (failedWith(error, 'ENOENT')) {
        throw namedError('ENOENT', 'open', `there is no sysctl ${name} in ${handle.label}`, error)
      }
      throw fromSystemError(error, `${message} in ${handle.label}`, () =>
        capabilityHint(this.#namespace, 'CAP_NET_ADMIN'),
      )
    }
  }
}

/** The file of a parameter, by the rules of sysctl(8). */
function pathOf(name: unknown): string {
  checkString(name, 'name')
  const separator = /[./]/.exec(name)?.[0]
  const slashed = separator === '.' ? name.replace(/[./]/g, (found) => (found === '.' ? '/' : '.')) : name
  const parts = slashed.split('/')
  if (parts.some((part) => part === '' || part === '.' || part === '..') || name.includes('\0')) {
    throw valueError('name', name, "is not a sysctl's name, such as 'net.ipv4.ip_forward'")
  }
  if (parts[0] !== 'net' || parts.length < 2) {
    throw valueError('name', name, "only the parameters under 'net.' belong to a network namespace")
  }
  return `/proc/sys/${parts.join('/')}`
}

function textOf(value: unknown): string {
  if (typeof value === 'boolean') return value ? '1' : '0'
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) throw typeError('value', 'an integer, a string, true or false', value)
    return String(value)
  }
  if (typeof value !== 'string') throw typeError('value', 'an integer, a string, true or false', value)
  // One write(2) sets one value; what follows a line feed would be lost without a word.
  if (/[\n\0]/.test(value)) throw valueError('value', value, 'has a line feed or a NUL character')
  return value
}
