/* import_amazon.c - Amazon reviews: JSON lines of 2014 and 2018 (reviewerID, asin, overall, unixReviewTime)
 * and of 2023 (user_id, parent_asin, rating, timestamp in milliseconds). Metadata lines are item text: see
 * import_items.c. */
#include "data/intake.h"

sg_status sg_import_amazon(sg_intake *k, sg_error *err)
{
    return sg_json_lines(k, "expected a review with reviewerID and asin, or with user_id and parent_asin",
                         err);
}
