// Messages of a session written down, and the loop that carries them (shared by the tests and fuzzers of both codecs).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/http/codec.h"
#include "dataplane/net/event_loop.h"

namespace fairlead::http::test {

using Headers = std::vector<std::pair<std::string, std::string>>;

inline std::string text_of(const http::HeaderMap& headers) {
  std::string text;
  for (const http::Header& h : headers) text += std::string(h.name()) + ": " + std::string(h.value()) + "\n";
  return text;
}

// One message as received.
struct Message : http::MessageReceiver {
  http::Arena memory;
  http::MessageSender* sender = nullptr;
  std::string head;
  std::vector<std::string> informational;
  std::string body;
  std::string trailers;
  bool has_head = false;
  bool ended = false;
  bool reset = false;
  bool after_end = false;  // a call came after the end
  http::ResetReason reason{};
  std::string detail;
  std::string error;       // on_protocol_error
  int datas = 0;           // calls of on_data
  int blocked = 0;
  int ready = 0;
  std::function<void(Message&)> when_head, when_ended, when_data, when_ready;

  http::Arena& arena() override { return memory; }
  void on_headers(http::HeaderMap& h, bool end) override {
    after_end = after_end || ended || reset || has_head;
    has_head = true;
    head = text_of(h);
    ended = end;
    if (when_head) when_head(*this);
    if (end && when_ended) when_ended(*this);
  }
  void on_informational(http::HeaderMap& h) override { informational.push_back(text_of(h)); }
  void on_data(net::Buffer& data, bool end) override {
    after_end = after_end || ended || reset || !has_head;
    ++datas;
    body += data.to_string();
    data.clear();
    ended = ended || end;
    if (when_data) when_data(*this);
    if (end && when_ended) when_ended(*this);
  }
  void on_trailers(http::HeaderMap& h) override {
    after_end = after_end || ended || reset;
    trailers = text_of(h);
    ended = true;
    if (when_ended) when_ended(*this);
  }
  void on_reset(http::ResetReason r, std::string_view d) override {
    after_end = after_end || reset;
    reset = true;
    reason = r;
    detail = std::string(d);
  }
  void on_write_blocked() override { ++blocked; }
  void on_write_ready() override {
    ++ready;
    if (when_ready) when_ready(*this);
  }
};

inline void send(http::MessageSender& sender, const Headers& list, const std::string& body = "", bool end = true) {
  http::Arena arena;
  http::HeaderMap map(arena);
  for (auto& [name, value] : list) map.add(name, value);
  sender.send_headers(map, end && body.empty());
  if (body.empty()) return;
  net::Buffer data(body);
  sender.send_data(data, end);
}
inline void send_body(http::MessageSender& sender, const std::string& body, bool end) {
  net::Buffer data(body);
  sender.send_data(data, end);
}
inline void send_trailers(http::MessageSender& sender, const Headers& list) {
  http::Arena arena;
  http::HeaderMap map(arena);
  for (auto& [name, value] : list) map.add(name, value);
  sender.send_trailers(map);
}

struct Loop {
  bool run(const std::function<bool()>& done) { return loop.run_until(done, std::chrono::seconds(5)); }
  void settle(int turns = 8) {  // lets everything in flight arrive
    for (int i = 0; i < turns; ++i) {
      bool turned = false;
      loop.post([&] { turned = true; });
      loop.run_until([&] { return turned; }, std::chrono::seconds(5));
    }
  }
  net::EventLoop loop;
};

}  // namespace fairlead::http::test
