#include "poller.h"

#include <errno.h>

#include <initializer_list>

#include "arguments.h"
#include "environment.h"
#include "functions.h"

namespace netkit {

namespace {

// Marks the objects that wrap a Poller, so that a method called on another object is a TypeError.
constexpr napi_type_tag kTag = {0x6e65746b69745f70, 0x9d3c51c2a1f84e07};

template <size_t kCount>
Poller* Self(napi_env env, Arguments<kCount>& arguments) {
  if (!arguments.ok()) return nullptr;
  return static_cast<Poller*>(Unwrap(env, arguments.self(), kTag, "not a poller"));
}

napi_value StartPoller(napi_env env, napi_callback_info info) {
  Arguments<1> arguments(env, info);
  Poller* poller = Self(env, arguments);
  if (poller == nullptr) return nullptr;
  int events = arguments.Integer(0);
  return arguments.ok() ? Number(env, poller->Start(events)) : nullptr;
}

template <typename Act>
napi_value WithPoller(napi_env env, napi_callback_info info, Act act) {
  Arguments<0> arguments(env, info);
  Poller* poller = Self(env, arguments);
  if (poller != nullptr) act(poller);
  return nullptr;
}

napi_value StopPoller(napi_env env, napi_callback_info info) {
  return WithPoller(env, info, [](Poller* poller) { poller->Stop(); });
}

napi_value ClosePoller(napi_env env, napi_callback_info info) {
  return WithPoller(env, info, [](Poller* poller) { poller->Close(); });
}

napi_value RefPoller(napi_env env, napi_callback_info info) {
  return WithPoller(env, info, [](Poller* poller) { poller->SetReferenced(true); });
}

napi_value UnrefPoller(napi_env env, napi_callback_info info) {
  return WithPoller(env, info, [](Poller* poller) { poller->SetReferenced(false); });
}

napi_property_descriptor Method(const char* name, napi_callback method, Environment* environment) {
  return {name, nullptr, method, nullptr, nullptr, nullptr, napi_default_method, environment};
}

}  // namespace

napi_status Poller::Define(napi_env env, Environment* environment, napi_value* result) {
  napi_property_descriptor methods[] = {
      Method("start", StartPoller, environment), Method("stop", StopPoller, environment),
      Method("close", ClosePoller, environment), Method("ref", RefPoller, environment),
      Method("unref", UnrefPoller, environment),
  };
  return napi_define_class(env, "Poller", NAPI_AUTO_LENGTH, Construct, environment, sizeof(methods) / sizeof(*methods),
                           methods, result);
}

napi_value Poller::Construct(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  int fd = arguments.Integer(0);
  napi_value callback = arguments.Function(1);
  if (!arguments.ok()) return nullptr;
  napi_value self = arguments.self();
  // A property keeps the callback as long as the object: a reference would make a cycle that is never collected, since
  // the callback usually leads back to the object.
  napi_property_descriptor property = {"callback", nullptr, nullptr, nullptr, nullptr, callback, napi_default, nullptr};
  napi_status status = napi_define_properties(env, self, 1, &property);
  if (status == napi_ok) status = napi_type_tag_object(env, self, &kTag);
  if (status != napi_ok) {
    napi_throw_type_error(env, nullptr, "not a poller");
    return nullptr;
  }
  Poller* poller = new Poller(arguments.environment(), fd);
  status = napi_wrap(
      env, self, poller,
      [](napi_env, void* data, void*) {
        Poller* gone = static_cast<Poller*>(data);
        gone->object_gone_ = true;
        gone->Close();
        gone->DeleteWhenFree();
      },
      nullptr, nullptr);
  if (status != napi_ok) {
    delete poller;
    napi_throw_type_error(env, nullptr, "not a poller");
    return nullptr;
  }
  napi_create_reference(env, self, 0, &poller->object_);
  napi_create_reference(env, callback, 0, &poller->callback_);
  poller->environment_.AddPoller(poller);
  return self;
}

int Poller::Initialise() {
  if (initialised_) return 0;
  // libuv would take a second handle on the descriptor, and mix the two up when one is closed.
  if (fd_ < 0) return -EBADF;
  if (environment_.descriptors().poller(fd_) != nullptr) return -EEXIST;
  // The binary may meet a newer libuv than the one it was compiled with.
  if (uv_handle_size(UV_POLL) > sizeof(uv_poll_t)) return -ENOTSUP;
  int error = uv_poll_init(environment_.loop(), &handle_, fd_);
  if (error != 0) return error;
  handle_.data = this;
  initialised_ = true;
  environment_.HandleOpened();
  if (!referenced_) uv_unref(reinterpret_cast<uv_handle_t*>(&handle_));
  if (environment_.descriptors().SetPoller(fd_, this)) return 0;
  Close();
  return -ENOMEM;
}

int Poller::Start(int events) {
  if (closed_) return -EBADF;
  if (events < 1 || events > (UV_READABLE | UV_WRITABLE)) return -EINVAL;
  int error = Initialise();
  if (error != 0) return error;
  error = uv_poll_start(&handle_, events, [](uv_poll_t* handle, int status, int seen) {
    static_cast<Poller*>(handle->data)->OnEvent(status, seen);
  });
  if (error == 0) Hold(true);
  return error;
}

void Poller::Stop() {
  if (closed_ || !initialised_) return;
  uv_poll_stop(&handle_);
  Hold(false);
}

void Poller::Hold(bool strongly) {
  if (started_ == strongly) return;
  started_ = strongly;
  for (napi_ref reference : {object_, callback_}) {
    if (strongly) {
      napi_reference_ref(environment_.env(), reference, nullptr);
    } else {
      napi_reference_unref(environment_.env(), reference, nullptr);
    }
  }
}

void Poller::SetReferenced(bool referenced) {
  referenced_ = referenced;
  if (closed_ || !initialised_) return;
  uv_handle_t* handle = reinterpret_cast<uv_handle_t*>(&handle_);
  referenced ? uv_ref(handle) : uv_unref(handle);
}

void Poller::Close() {
  if (closed_) return;
  closed_ = true;
  started_ = false;
  environment_.RemovePoller(this);
  for (napi_ref* reference : {&object_, &callback_}) {
    if (*reference != nullptr) napi_delete_reference(environment_.env(), *reference);
    *reference = nullptr;
  }
  if (!initialised_) return;
  if (environment_.descriptors().poller(fd_) == this) environment_.descriptors().SetPoller(fd_, nullptr);
  // Takes the descriptor out of the loop at once; only the memory has to wait.
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_), [](uv_handle_t* handle) {
    Poller* poller = static_cast<Poller*>(handle->data);
    Environment& environment = poller->environment_;
    poller->initialised_ = false;
    poller->DeleteWhenFree();
    environment.HandleClosed();
  });
}

void Poller::Nudge() {
  if (!started_) return;
  nudged_ = true;
  environment_.WakeForNudges();
}

void Poller::TakeNudge() {
  taken_ = nudged_;
  nudged_ = false;
}

bool Poller::AnswerNudge() {
  if (!taken_) return false;
  taken_ = false;
  if (started_) OnEvent(0, UV_READABLE);
  return true;
}

void Poller::DeleteWhenFree() {
  if (closed_ && object_gone_ && !initialised_) delete this;
}

void Poller::OnEvent(int status, int events) {
  napi_env env = environment_.env();
  Environment& environment = environment_;
  napi_handle_scope handles = nullptr;
  napi_open_handle_scope(env, &handles);
  napi_value object = nullptr, callback = nullptr;
  napi_get_reference_value(env, object_, &object);
  napi_get_reference_value(env, callback_, &callback);
  // After an error on the descriptor libuv has stopped the handle.
  if (status < 0) Hold(false);
  if (object != nullptr && callback != nullptr) {
    napi_value arguments[] = {Number(env, status), Number(env, events)};
    // The poller may be gone when this returns.
    napi_status called = napi_make_callback(env, environment.context(), object, callback, 2, arguments, nullptr);
    if (called != napi_ok) environment.ReportException();
  }
  napi_close_handle_scope(env, handles);
}

napi_value CreatePoller(napi_env env, napi_callback_info info) {
  Arguments<2> arguments(env, info);
  arguments.Integer(0);
  arguments.Function(1);
  if (!arguments.ok()) return nullptr;
  return arguments.environment().NewPoller(arguments.value(0), arguments.value(1));
}

}  // namespace netkit
