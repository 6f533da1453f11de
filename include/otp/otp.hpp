// Everything a program needs, but for I/O (otp/asio.hpp) and tests (otp/testing.hpp).
#pragma once
#include <otp/blocking.hpp>
#include <otp/child_spec.hpp>
#include <otp/dynamic_supervisor.hpp>
#include <otp/event.hpp>
#include <otp/gen_server.hpp>
#include <otp/mfa.hpp>
#include <otp/partition_supervisor.hpp>
#include <otp/proc_lib.hpp>
#include <otp/process.hpp>
#include <otp/receive.hpp>
#include <otp/registry.hpp>
#include <otp/runtime.hpp>
#include <otp/supervisor.hpp>
#include <otp/sys.hpp>
#include <otp/task.hpp>
#include <otp/timer.hpp>
