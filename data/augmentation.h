// What happens to the images of a training set: a list of transforms (kernels/transforms.h), one after the other,
//   Augmentation a{transforms::RandomApply{{transforms::CenterCropResize{22}}, 0.1}, transforms::RandomRotation{15}};
#pragma once

#include <mica/kernels/transforms.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <variant>
#include <vector>

namespace mica {

namespace transforms {

// All of the list with probability p, by one draw, else none of it. A list holds no other list.
struct RandomApply {
  std::vector<Transform> transforms;
  double p = 0.5;
};

}  // namespace transforms

class Augmentation {
 public:
  using Step = std::variant<transforms::Transform, transforms::RandomApply>;

  Augmentation() = default;  // images as they are
  Augmentation(std::initializer_list<Step> steps) : steps_(steps) {}

  const std::vector<Step>& steps() const { return steps_; }

 private:
  std::vector<Step> steps_;
};

// "crop 22 p=0.1, rotation 15"; "none" where there is none.
std::string to_string(const Augmentation& augmentation);

// As kernels take it, for images of h×w pixels. `last` is appended where there is no Normalize. Throws Error, which begins with
// `where`, for a parameter that means nothing.
struct CompiledAugmentation {
  kernels::Chain chain;
  std::vector<float> blurs;  // what chain.blurs is to point to
};
CompiledAugmentation compile(const Augmentation& augmentation, std::int64_t h, std::int64_t w, const transforms::Normalize& last, const std::string& where);

}  // namespace mica
