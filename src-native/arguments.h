// Reads the arguments of a call. A wrong type throws one plain TypeError; the caller asks ok() once, after the last of
// them.
#ifndef NETKIT_ARGUMENTS_H_
#define NETKIT_ARGUMENTS_H_

#include <math.h>
#include <node_api.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

namespace netkit {

class Environment;

// The elements of a typed array, valid while that is not detached.
template <typename T>
struct Elements {
  T* data = nullptr;
  size_t length = 0;
};
using Bytes = Elements<uint8_t>;

inline napi_value Number(napi_env env, double value) {
  napi_value result = nullptr;
  napi_create_double(env, value, &result);
  return result;
}

inline bool IsFunction(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  return napi_typeof(env, value, &type) == napi_ok && type == napi_function;
}

// What an object with this tag wraps. Null, with a TypeError pending, for anything else: `problem` says what it is not.
inline void* Unwrap(napi_env env, napi_value object, const napi_type_tag& tag, const char* problem) {
  bool tagged = false;
  void* wrapped = nullptr;
  if (object != nullptr && napi_check_object_type_tag(env, object, &tag, &tagged) == napi_ok && tagged &&
      napi_unwrap(env, object, &wrapped) == napi_ok) {
    return wrapped;
  }
  bool pending = false;
  napi_is_exception_pending(env, &pending);
  if (!pending) napi_throw_type_error(env, nullptr, problem);
  return nullptr;
}

template <typename T>
bool ReadElements(napi_env env, napi_value value, napi_typedarray_type wanted, Elements<T>* elements) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  // Fails by its status, without an exception, for anything else than a typed array.
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) return false;
  if (type != wanted) return false;
  elements->data = static_cast<T*>(data);
  elements->length = data == nullptr ? 0 : length;
  return true;
}

template <size_t kCount>
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    size_t count = kCount;
    void* data = nullptr;
    // What the caller left out is undefined, which no getter accepts.
    ok_ = napi_get_cb_info(env, info, &count, values_, &self_, &data) == napi_ok;
    environment_ = static_cast<Environment*>(data);
  }

  bool ok() const { return ok_; }
  Environment& environment() const { return *environment_; }
  napi_value self() const { return self_; }
  napi_value value(size_t index) const { return values_[index]; }

  double Whole(size_t index, double least, double most) {
    double number = 0;
    if (!ok_) return 0;
    if (napi_get_value_double(env_, values_[index], &number) != napi_ok || !(number >= least && number <= most) ||
        trunc(number) != number) {
      Fail(index, "must be a whole number in range");
      return 0;
    }
    return number;
  }

  int32_t Integer(size_t index) { return static_cast<int32_t>(Whole(index, INT32_MIN, INT32_MAX)); }
  uint32_t Unsigned(size_t index) { return static_cast<uint32_t>(Whole(index, 0, UINT32_MAX)); }
  // Of either sign, in 32 bits.
  int64_t Word(size_t index) { return static_cast<int64_t>(Whole(index, INT32_MIN, UINT32_MAX)); }
  size_t Size(size_t index) { return static_cast<size_t>(Whole(index, 0, 9007199254740991.0)); }

  bool Boolean(size_t index) {
    bool value = false;
    if (ok_ && napi_get_value_bool(env_, values_[index], &value) != napi_ok) Fail(index, "must be true or false");
    return value;
  }

  napi_value Function(size_t index) {
    if (ok_ && !IsFunction(env_, values_[index])) Fail(index, "must be a function");
    return values_[index];
  }

  // A Uint8Array, which a Buffer is too.
  Bytes Octets(size_t index) { return Typed<uint8_t>(index, napi_uint8_array, "must be a Uint8Array"); }
  Elements<uint32_t> Words(size_t index) { return Typed<uint32_t>(index, napi_uint32_array, "must be a Uint32Array"); }
  Elements<double> Doubles(size_t index) { return Typed<double>(index, napi_float64_array, "must be a Float64Array"); }

  // The string in UTF-8, with its end mark. Returns its length; `size` when it does not fit or holds a zero byte, so
  // that nothing is ever cut silently.
  size_t String(size_t index, char* buffer, size_t size) {
    buffer[0] = '\0';
    if (!ok_) return 0;
    size_t whole = 0;
    if (napi_get_value_string_utf8(env_, values_[index], nullptr, 0, &whole) != napi_ok) {
      Fail(index, "must be a string");
      return 0;
    }
    if (whole >= size) return size;
    size_t length = 0;
    napi_get_value_string_utf8(env_, values_[index], buffer, size, &length);
    for (size_t i = 0; i < length; i++) {
      if (buffer[i] == '\0') return size;
    }
    return length;
  }

  void Fail(size_t index, const char* problem) {
    if (!ok_) return;
    ok_ = false;
    char message[96];
    snprintf(message, sizeof(message), "argument %zu %s", index + 1, problem);
    napi_throw_type_error(env_, nullptr, message);
  }

 private:
  template <typename T>
  Elements<T> Typed(size_t index, napi_typedarray_type type, const char* problem) {
    Elements<T> elements;
    if (ok_ && !ReadElements(env_, values_[index], type, &elements)) Fail(index, problem);
    return elements;
  }

  napi_env env_;
  Environment* environment_ = nullptr;
  napi_value self_ = nullptr;
  napi_value values_[kCount == 0 ? 1 : kCount] = {};
  bool ok_ = false;
};

}  // namespace netkit

#endif  // NETKIT_ARGUMENTS_H_
