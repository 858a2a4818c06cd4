// What proxies said (verdict/), in the words of the objects that the status writer speaks of. Pure; any thread.
#pragma once

#include "adapters/kubernetes/verdicts.h"
#include "controlplane/verdict/progress.h"

namespace fairlead::pipeline {

// Of each Gateway, IngressClass and EnvoyResources object the proxies of all scopes it is part of; of each refusal the objects that the resource was made
// from or, when its message names routes, those of them that it names; and what is in an object's way without anybody having refused it.
adapters::kubernetes::Verdicts proxies_said(const verdict::Progress& progress);

}  // namespace fairlead::pipeline
