// Every layer.
#pragma once

#include <mica/layers/batch_norm.h>
#include <mica/layers/conv2d.h>
#include <mica/layers/dropout.h>
#include <mica/layers/initialize.h>
#include <mica/layers/layer_norm.h>
#include <mica/layers/linear.h>
#include <mica/layers/loss.h>
#include <mica/layers/residual.h>
#include <mica/layers/sequential.h>
#include <mica/layers/stateless.h>
#include <mica/layers/summary.h>
