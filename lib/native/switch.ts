/** The border to C++: switches. The conventions are those of native.ts. */
import type { NativeEnd } from './end.js'

/** A switch of C++, which runs until it is stopped, whatever becomes of this object. */
export interface NativeSwitch {
  readonly [nativeSwitch]: true
}
declare const nativeSwitch: unique symbol

export interface SwitchFunctions {
  /**
   * Starts a switch (src-native/switch.h) on a thread of its own. `vlans`: 1 when it knows them. `ageing`: milliseconds, 0 for never.
   * `failed` gets the number of a port whose end failed, and the negated errno. `done` resolves to 0, or the negated errno of starting.
   * Or a negated errno instead of both.
   */
  startSwitch(
    vlans: number,
    ageing: number,
    addresses: number,
    failed: (port: number, error: number) => void,
  ): { handle: NativeSwitch; done: Promise<number> } | number
  stopSwitch(handle: NativeSwitch): void
  /** 1 when it keeps the process alive, as it does at first; else 0. */
  referenceSwitch(handle: NativeSwitch, referenced: number): void
  /**
   * The end must not be read or written otherwise. `numbers`: VLAN of untagged frames, learning, isolated, most addresses, floods a
   * second, broadcasts a second. `vlans`: 512 bytes, a bit for each tagged one. This and what follows resolves to 0 or a negated errno,
   * -ECANCELED when the switch has ended.
   */
  addSwitchPort(
    handle: NativeSwitch,
    port: number,
    end: NativeEnd,
    numbers: Float64Array,
    vlans: Uint8Array,
  ): Promise<number>
  setSwitchPort(handle: NativeSwitch, port: number, numbers: Float64Array, vlans: Uint8Array): Promise<number>
  /** When it resolves, nothing touches the end any more. */
  removeSwitchPort(handle: NativeSwitch, port: number, end: NativeEnd): Promise<number>
  setSwitchAddress(handle: NativeSwitch, port: number, vlan: number, address: number, add: number): Promise<number>
  /** Forgets what was learnt behind a port, behind all when it is 1,024. */
  flushSwitch(handle: NativeSwitch, port: number): Promise<number>
  /** Five numbers an entry: VLAN, address, port, milliseconds since it was seen, 1 when it is fixed. */
  listSwitchTable(handle: NativeSwitch): Promise<Float64Array>
  /** Fills in what PortCounters of src-native/switch.h counts, in that order. */
  switchPortCounters(handle: NativeSwitch, port: number, values: Float64Array): void
}
