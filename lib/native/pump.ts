/** The addon's functions for pumps and tees (src-native/pump.h, tee_end.h). */
import type { NativeEnd } from './end.js'

/** A pump of C++, which lives as long as this object or its thread. */
export interface NativePump {
  readonly [nativePump]: true
}
declare const nativePump: unique symbol

export interface PumpFunctions {
  /**
   * A pump between two ends. `directions`: a sum of 1 (from `a` to `b`) and 2 (back). `spin`: nanoseconds of polling before sleeping. A negated errno when it cannot be made:
   * -EINVAL for one end twice, -EPROTOTYPE for Ethernet and IP.
   */
  createPump(a: NativeEnd, b: NativeEnd, directions: number, spin: number): NativePump | number
  /**
   * Starts its thread, once. Resolves when that has ended: an errno (0: it was stopped), of which end (0, 1; -1: there was no thread),
   * and whether in writing.
   */
  runPump(pump: NativePump): Promise<readonly number[] | number>
  /**
   * What becomes of the frames of a direction (0, 1). `values`: the chances of loss, duplicate, reorder and corrupt, of 2^32 - 1; delay
   * and jitter in nanoseconds; bits per second (0: no limit), bytes of burst; the most frames and bytes that may wait; joining (0: never,
   * 1: where it is of use, 2: always); whether the seed that follows is to be taken, its low and its high 32 bits.
   * `program`: struct sock_filter[], or empty. -EINVAL or -EOPNOTSUPP for a program that cannot run here.
   */
  setPump(pump: NativePump, direction: number, values: Float64Array, program: Uint8Array): number
  /** Puts copies into a tee. `points`: a sum of 1 (written) and 2 (read) forward, 16 and 32 backward; 0 ends it. -ENOSPC beyond 8. */
  teePump(pump: NativePump, tee: NativeEnd, points: number): number
  /** Its thread will end soon. Idempotent. */
  stopPump(pump: NativePump): void
  pausePump(pump: NativePump, paused: number): void
  /** Whether it keeps the process alive while it runs. */
  referPump(pump: NativePump, referenced: number): void
  /**
   * Fills in, for a direction: frames and bytes read; frames filtered, refused, lost, duplicated, reordered, corrupted, dropped for want
   * of room; frames and bytes that wait.
   */
  pumpCounters(pump: NativePump, direction: number, values: Float64Array): number
  /** A tee with an eventfd. `capacity`: a power of two from 2^17 to 2^30. A negated errno when there is none. */
  createTee(layer3: number, capacity: number, snapshotLength: number): { end: NativeEnd; fd: number } | number
  /** Lets go of a tee's memory: pumps no longer fill it, and nobody may read it any more. */
  closeTee(end: NativeEnd): void
}
