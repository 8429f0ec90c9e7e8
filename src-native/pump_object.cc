// What JavaScript does with pumps and tees.
#include <sys/eventfd.h>
#include <unistd.h>

#include "arguments.h"
#include "environment.h"
#include "functions.h"
#include "pump.h"

namespace netkit {

namespace {

// Marks the objects that wrap a pump.
constexpr napi_type_tag kTag = {0x6e65746b69745f75, 0x3c8e07a9d25f41b6};

// The elements of the array that setPump() takes; lib/native.ts has the same order.
enum Setting : size_t {
  kLoss,
  kDuplicate,
  kReorder,
  kCorrupt,
  kDelay,
  kJitter,
  kRate,
  kBurst,
  kLimitFrames,
  kLimitBytes,
  kJoining,
  kSeeds,
  kSeedLow,
  kSeedHigh,
  kSettings
};
constexpr size_t kCounters = 11;
constexpr size_t kLeastCapacity = 128 * 1024;
constexpr size_t kMostCapacity = 1024 * 1024 * 1024;

// Any number, brought within 0 and `most`.
uint64_t Bounded(double value, uint64_t most) {
  if (!(value > 0)) return 0;
  return value >= static_cast<double>(most) ? most : static_cast<uint64_t>(value);
}

FlowSettings SettingsOf(const double* values) {
  constexpr uint64_t kMost = UINT64_MAX / 8;  // so that sums of times do not overflow
  FlowSettings settings;
  ImpairSettings& impair = settings.impair;
  impair.loss = static_cast<uint32_t>(Bounded(values[kLoss], UINT32_MAX));
  impair.duplicate = static_cast<uint32_t>(Bounded(values[kDuplicate], UINT32_MAX));
  impair.reorder = static_cast<uint32_t>(Bounded(values[kReorder], UINT32_MAX));
  impair.corrupt = static_cast<uint32_t>(Bounded(values[kCorrupt], UINT32_MAX));
  impair.delay = Bounded(values[kDelay], kMost);
  impair.jitter = Bounded(values[kJitter], kMost);
  impair.rate = Bounded(values[kRate], kMost);
  impair.burst = Bounded(values[kBurst], kMost);
  impair.limit_frames = Bounded(values[kLimitFrames], kMost);
  impair.limit_bytes = Bounded(values[kLimitBytes], kMost);
  settings.joining = static_cast<Joining>(Bounded(values[kJoining], static_cast<uint64_t>(Joining::kAlways)));
  settings.seeds = values[kSeeds] != 0;
  settings.seed = Bounded(values[kSeedHigh], UINT32_MAX) << 32 | Bounded(values[kSeedLow], UINT32_MAX);
  return settings;
}

class PumpJob;

// What the JavaScript object holds: the pump, and the job while that runs.
struct Handle {
  Pump* pump;
  PumpJob* job = nullptr;
};

// Holds the object, so that a pump runs whether or not somebody remembers it.
class PumpJob : public LongJob {
 public:
  PumpJob(Handle* handle, napi_ref object) : handle_(handle), pump_(handle->pump), object_(object) { pump_->Ref(); }
  // Here the thread is gone.
  ~PumpJob() override {
    pump_->Retire();
    pump_->Unref();
  }

  void Run() override { pump_->Run(); }
  void Stop() override { pump_->Stop(); }
  void Refuse(int error) override { refusal_ = error; }

  // [a negated errno or 0, which end, whether in writing]; the end is -1 when there was no thread.
  napi_value Finish(Environment& environment) override {
    handle_->job = nullptr;
    napi_env env = environment.env();
    const Pump::Outcome& outcome = pump_->outcome();
    const int values[] = {refusal_ != 0 ? refusal_ : outcome.error, refusal_ != 0 ? -1 : outcome.end, outcome.in_write};
    napi_value result = nullptr;
    if (napi_create_array_with_length(env, 3, &result) != napi_ok) return nullptr;
    for (uint32_t i = 0; i < 3; i++) napi_set_element(env, result, i, Number(env, values[i]));
    return result;
  }

  void ReleaseValues(napi_env env) override {
    if (object_ != nullptr) napi_delete_reference(env, object_);
    object_ = nullptr;
  }

 private:
  Handle* handle_;  // of the object, which outlives the job
  Pump* pump_;
  napi_ref object_;
  int refusal_ = 0;
};

// Null, with a TypeError pending, for anything else than a pump.
Handle* HandleOf(napi_env env, napi_value object) {
  return static_cast<Handle*>(Unwrap(env, object, kTag, "not a pump"));
}

napi_value Wrap(napi_env env, Pump* pump) {
  Handle* handle = new Handle{pump};
  napi_value object = nullptr;
  napi_status status = napi_create_object(env, &object);
  if (status == napi_ok) status = napi_type_tag_object(env, object, &kTag);
  if (status == napi_ok) {
    status = napi_wrap(
        env, object, handle,
        [](napi_env, void* data, void*) {
          Handle* gone = static_cast<Handle*>(data);
          gone->pump->Unref();
          delete gone;
        },
        nullptr, nullptr);
  }
  if (status == napi_ok) return object;
  pump->Unref();
  delete handle;
  return nullptr;
}

}  // namespace

napi_value CreatePump(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  const uint32_t directions = arguments.Unsigned(2);
  const uint32_t spin = arguments.Unsigned(3);
  if (!arguments.ok()) return nullptr;
  End* a = EndOf(env, arguments.value(0));
  End* b = a == nullptr ? nullptr : EndOf(env, arguments.value(1));
  if (b == nullptr) return nullptr;
  if (a->layer3() != b->layer3()) return Number(env, -EPROTOTYPE);
  if (a == b || directions == 0 || directions > 3) return Number(env, -EINVAL);
  int error = 0;
  Pump* pump = Pump::Create(*a, *b, directions, spin, &error);
  return pump == nullptr ? Number(env, error) : Wrap(env, pump);
}

napi_value RunPump(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  if (!arguments.ok()) return nullptr;
  Handle* handle = HandleOf(env, arguments.value(0));
  if (handle == nullptr) return nullptr;
  napi_ref object = nullptr;
  if (handle->job != nullptr || napi_create_reference(env, arguments.value(0), 1, &object) != napi_ok) {
    return arguments.environment().Resolved(-EINVAL);
  }
  handle->job = new PumpJob(handle, object);
  napi_value promise = arguments.environment().SubmitLong(handle->job);
  if (promise == nullptr) handle->job = nullptr;
  return promise;
}

napi_value SetPump(napi_env env, napi_callback_info info) {
  Arguments<4> arguments(env, info);
  const uint32_t direction = arguments.Unsigned(1);
  Elements<double> values = arguments.Doubles(2);
  Bytes program = arguments.Octets(3);
  if (!arguments.ok()) return nullptr;
  Handle* handle = HandleOf(env, arguments.value(0));
  if (handle == nullptr) return nullptr;
  if (direction > Pump::kBackward || values.length < kSettings) return Number(env, -EINVAL);
  FlowSettings settings = SettingsOf(values.data);
  if (program.length > 0) {
    int error = 0;
    settings.filter = PacketFilter::Create(program.data, program.length, &error);
    if (settings.filter == nullptr) return Number(env, error);
  }
  handle->pump->Set(static_cast<Pump::Direction>(direction), settings);
  return Number(env, 0);
}

napi_value TeePump(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  const uint32_t points = arguments.Unsigned(2);
  if (!arguments.ok()) return nullptr;
  Handle* handle = HandleOf(env, arguments.value(0));
  End* end = handle == nullptr ? nullptr : EndOf(env, arguments.value(1));
  if (end == nullptr) return nullptr;
  if (end->kind() != &TeeEnd::kKind) return Number(env, -EINVAL);
  if (end->layer3() != handle->pump->layer3()) return Number(env, -EPROTOTYPE);
  return Number(env, handle->pump->SetTee(*static_cast<TeeEnd*>(end), points));
}

napi_value StopPump(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  Handle* handle = arguments.ok() ? HandleOf(env, arguments.value(0)) : nullptr;
  if (handle != nullptr) handle->pump->Stop();
  return nullptr;
}

napi_value PausePump(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  const bool paused = arguments.Unsigned(1) != 0;
  Handle* handle = arguments.ok() ? HandleOf(env, arguments.value(0)) : nullptr;
  if (handle != nullptr) handle->pump->Pause(paused);
  return nullptr;
}

napi_value ReferPump(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  const bool referenced = arguments.Unsigned(1) != 0;
  Handle* handle = arguments.ok() ? HandleOf(env, arguments.value(0)) : nullptr;
  if (handle != nullptr && handle->job != nullptr) arguments.environment().SetReferenced(handle->job, referenced);
  return nullptr;
}

napi_value PumpCounters(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  const uint32_t direction = arguments.Unsigned(1);
  Elements<double> values = arguments.Doubles(2);
  Handle* handle = arguments.ok() ? HandleOf(env, arguments.value(0)) : nullptr;
  if (handle == nullptr) return nullptr;
  if (direction > Pump::kBackward || values.length < kCounters) return Number(env, -EINVAL);
  FlowCounters& counters = handle->pump->counters(static_cast<Pump::Direction>(direction));
  const std::atomic<uint64_t>* all[kCounters] = {&counters.frames,    &counters.bytes,        &counters.filtered,
                                                 &counters.refused,   &counters.lost,         &counters.duplicated,
                                                 &counters.reordered, &counters.corrupted,    &counters.dropped,
                                                 &counters.waiting,   &counters.waiting_bytes};
  for (size_t i = 0; i < kCounters; i++) {
    values.data[i] = static_cast<double>(all[i]->load(std::memory_order_relaxed));
  }
  return Number(env, 0);
}

napi_value CloseTee(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  End* end = arguments.ok() ? EndOf(env, arguments.value(0)) : nullptr;
  if (end != nullptr && end->kind() == &TeeEnd::kKind) static_cast<TeeEnd*>(end)->Close();
  return nullptr;
}

napi_value CreateTee(napi_env env, napi_callback_info info) {
  Arguments<3> arguments(env, info);
  const bool layer3 = arguments.Unsigned(0) != 0;
  const size_t capacity = arguments.Size(1);
  const uint32_t snapshot_length = arguments.Unsigned(2);
  if (!arguments.ok()) return nullptr;
  const bool power = capacity != 0 && (capacity & (capacity - 1)) == 0;
  if (!power || capacity < kLeastCapacity || capacity > kMostCapacity || snapshot_length == 0 ||
      snapshot_length > kFrameRoom - kOffloadHeaderSize) {
    return Number(env, -EINVAL);
  }
  const int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) return Number(env, -errno);
  TeeEnd* tee = TeeEnd::Create(fd, layer3, capacity, snapshot_length);
  napi_value end = tee == nullptr ? nullptr : WrapEnd(arguments.environment(), tee);
  napi_value result = nullptr;
  if (end == nullptr || napi_create_object(env, &result) != napi_ok) {
    close(fd);
    return tee == nullptr ? Number(env, -ENOMEM) : nullptr;
  }
  arguments.environment().descriptors().Own(fd);
  napi_set_named_property(env, result, "end", end);
  napi_set_named_property(env, result, "fd", Number(env, fd));
  return result;
}

}  // namespace netkit
