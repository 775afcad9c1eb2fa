// What the array tells about itself, as JSON.
#ifndef REPORT_H
#define REPORT_H

#include <jansson.h>

#include "array.h"

json_t *report_status(struct array *array);
json_t *report_rate(struct array *array);
json_t *report_map(struct array *array, uint32_t clone, uint32_t cells);
json_t *report_events(struct array *array, uint64_t after, uint32_t most);
json_t *report_statistics(struct array *array);

#endif
