// A libuv poll handle as a JavaScript object.
#ifndef NETKIT_POLLER_H_
#define NETKIT_POLLER_H_

#include <node_api.h>
#include <uv.h>

namespace netkit {

class Environment;

// Lives until both its JavaScript object is gone and libuv has closed its handle. While it is started it holds its
// object and its callback; before and after, the garbage collector may have them, and that closes it.
class Poller {
 public:
  static napi_status Define(napi_env env, Environment* environment, napi_value* result);

  int Start(int events);
  void Stop();
  void Close();
  void SetReferenced(bool referenced);
  // Calls the callback soon, as if the descriptor had become readable. Nothing happens when it is stopped until then.
  void Nudge();
  // AnswerNudge() is for what was asked for until now.
  void TakeNudge();
  // Calls it now when it was asked for. True when it was: the list of pollers may be another one then.
  bool AnswerNudge();

  // Of the environment's list.
  Poller* previous = nullptr;
  Poller* next = nullptr;

 private:
  Poller(Environment& environment, int fd) : environment_(environment), fd_(fd) {}
  ~Poller() = default;

  static napi_value Construct(napi_env env, napi_callback_info info);
  int Initialise();
  void Hold(bool strongly);
  void OnEvent(int status, int events);
  void DeleteWhenFree();

  uv_poll_t handle_ = {};
  Environment& environment_;
  const int fd_;
  napi_ref object_ = nullptr;
  napi_ref callback_ = nullptr;
  bool initialised_ = false;  // libuv knows the handle
  bool started_ = false;
  bool referenced_ = true;
  bool closed_ = false;
  bool object_gone_ = false;
  bool nudged_ = false;
  bool taken_ = false;  // a nudge that AnswerNudge() is for
};

}  // namespace netkit

#endif  // NETKIT_POLLER_H_
