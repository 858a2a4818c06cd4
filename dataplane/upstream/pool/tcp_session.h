// A connection that carries one request's bytes as they are, without HTTP: where a CONNECT ends (connect_config). It looks like any client
// session: the request's head goes nowhere and is answered with 200, its body and the response's are what is written and read.
// The peer's FIN ends the response, the request's end sends one. One worker.
#pragma once

#include "dataplane/http/codec.h"

namespace fairlead::upstream {

net::DeferredPtr<http::ClientSession> make_tcp_session(net::ConnectionPtr connection, http::ClientSessionEvents& events);

}  // namespace fairlead::upstream
