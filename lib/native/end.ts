/** The border to C++: packet ends. */

/** A packet end of C++ (src-native/end.h), which lives as long as this object or a thread that uses it. */
export interface NativeEnd {
  readonly [nativeEnd]: true
}
declare const nativeEnd: unique symbol
