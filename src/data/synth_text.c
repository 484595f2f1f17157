/* synth_text.c - names of synthetic items: real words for what a thing is, made-up ones for brands and series.
 *
 * Brand: one a (category, number of line), so a brand has products in every subcategory. Series: one a (brand, number in the
 * line), so an item and its partner share it. Kind (adjective and noun): one a line. Size: drawn for the item. */
#include "data/synth_world.h"

#include <string.h>

enum { REAL_CATEGORIES = 12, REAL_SUBS = 6, ADJECTIVES = 8, SIZES = 5 };

static const struct {
    const char *name, *sub[REAL_SUBS], *adjective[ADJECTIVES], *size[SIZES];
} real[REAL_CATEGORIES] = {
    {"Beauty",
     {"Face Cream", "Shampoo", "Lipstick", "Perfume", "Hand Soap", "Sunscreen"},
     {"Hydrating", "Gentle", "Soothing", "Matte", "Repairing", "Radiant", "Nourishing", "Calming"},
     {"30 ml", "50 ml", "75 ml", "100 ml", "200 ml"}},
    {"Kitchen",
     {"Frying Pan", "Chef Knife", "Mixing Bowl", "Coffee Grinder", "Cutting Board", "Tea Kettle"},
     {"Nonstick", "Copper", "Stainless", "Compact", "Bamboo", "Enameled", "Forged", "Ceramic"},
     {"18 cm", "20 cm", "24 cm", "28 cm", "32 cm"}},
    {"Toys",
     {"Building Blocks", "Puzzle", "Plush Bear", "Race Car", "Doll House", "Board Game"},
     {"Wooden", "Magnetic", "Colorful", "Glowing", "Musical", "Classic", "Giant", "Pocket"},
     {"Age 2+", "Age 3+", "Age 5+", "Age 8+", "Age 10+"}},
    {"Sports",
     {"Running Shoes", "Yoga Mat", "Tennis Racket", "Water Bottle", "Dumbbell", "Gym Bag"},
     {"Lightweight", "Cushioned", "Breathable", "Pro", "Foldable", "Grippy", "Trail", "Training"},
     {"Small", "Medium", "Large", "Blue", "Black"}},
    {"Garden",
     {"Watering Can", "Pruning Shears", "Flower Pot", "Garden Hose", "Seed Mix", "Leaf Rake"},
     {"Galvanized", "Rustproof", "Organic", "Telescopic", "Terracotta", "Heavy Duty", "Balcony", "Meadow"},
     {"Small", "Medium", "Large", "Green", "Grey"}},
    {"Office",
     {"Notebook", "Fountain Pen", "Desk Lamp", "Paper Tray", "Stapler", "Marker Set"},
     {"Ruled", "Dotted", "Refillable", "Dimmable", "Stackable", "Silent", "Pastel", "Executive"},
     {"Blue", "Black", "Grey", "Green", "Red"}},
    {"Audio",
     {"Headphones", "Bookshelf Speaker", "Microphone", "Turntable", "Sound Bar", "Earbuds"},
     {"Wireless", "Studio", "Noise Cancelling", "Vintage", "Portable", "Waterproof", "Open Back", "Bass"},
     {"Black", "White", "Silver", "Walnut", "Navy"}},
    {"Pets",
     {"Dog Leash", "Cat Tree", "Bird Feeder", "Aquarium Filter", "Pet Bed", "Chew Toy"},
     {"Reflective", "Orthopedic", "Washable", "Durable", "Cozy", "Retractable", "Quiet", "Natural"},
     {"Mini", "Small", "Medium", "Large", "Extra Large"}},
    {"Travel",
     {"Suitcase", "Backpack", "Neck Pillow", "Passport Wallet", "Packing Cubes", "Umbrella"},
     {"Hardshell", "Expandable", "Rolling", "Memory Foam", "Antitheft", "Ultralight", "Windproof", "Leather"},
     {"Black", "Navy", "Olive", "Sand", "Red"}},
    {"Baby",
     {"Stroller", "Bottle Warmer", "Crib Sheet", "High Chair", "Diaper Bag", "Night Light"},
     {"Soft", "Adjustable", "Cotton", "Convertible", "Travel", "Padded", "Muslin", "Starry"},
     {"0-3 months", "3-6 months", "6-12 months", "1-2 years", "2-4 years"}},
    {"Tools",
     {"Cordless Drill", "Tape Measure", "Socket Set", "Work Gloves", "Claw Hammer", "Tool Box"},
     {"Brushless", "Impact", "Insulated", "Fiberglass", "Magnetic", "Precision", "Rugged", "Folding"},
     {"Basic", "Plus", "Pro", "Series 3", "Series 7"}},
    {"Grocery",
     {"Green Tea", "Olive Oil", "Dark Chocolate", "Granola", "Pasta Sauce", "Wild Honey"},
     {"Organic", "Roasted", "Cold Pressed", "Fair Trade", "Smoked", "Raw", "Spicy", "Unsweetened"},
     {"100 g", "250 g", "500 g", "750 g", "1 kg"}},
};
static const char *const kinds[] = {"Kit", "Set", "Case", "Stand", "Cover", "Pack", "Frame", "Holder"};

/* A made-up word that can be spoken: two or three syllables of consonant and vowel, perhaps a closing consonant. */
static void word(sg_buf *out, const sg_world *w, uint64_t what, uint64_t which)
{
    static const char *const onset[32] = {"b",  "d",  "f",  "g",  "k",  "l",  "m",  "n",  "p",  "r",  "s",
                                          "t",  "v",  "z",  "h",  "j",  "br", "cl", "dr", "fl", "gl", "kr",
                                          "pl", "sh", "st", "th", "tr", "sp", "qu", "w",  "sl", "gr"};
    static const char *const close[16] = {"",  "",   "",   "",   "n",  "r",  "l",  "x",
                                          "s", "ra", "na", "lo", "vi", "ro", "ne", "ta"};
    uint64_t h = sg_world_random(w, SG_SYNTH_NAME, which, what);
    const size_t begin = out->size;

    for (int i = 0; i < 2; i++) {
        sg_buf_puts(out, onset[h & (i ? 15 : 31)]); /* clusters only in front */
        h >>= 5;
        sg_buf_putc(out, "aeiouaoe"[h & 7]);
        h >>= 3;
    }
    sg_buf_puts(out, close[h & 15]);
    if (!out->failed)
        out->data[begin] = (char)(out->data[begin] - 'a' + 'A');
}

enum { WORD_CATEGORY, WORD_SUB, WORD_LINE, WORD_BRAND, WORD_SERIES };

static void category_name(sg_buf *out, const sg_world *w, uint32_t c)
{
    if (c < REAL_CATEGORIES) {
        sg_buf_puts(out, real[c].name);
        return;
    }
    word(out, w, WORD_CATEGORY, c);
    sg_buf_puts(out, " Goods");
}

static void sub_name(sg_buf *out, const sg_world *w, uint32_t c, uint32_t sub)
{
    if (c < REAL_CATEGORIES && sub < REAL_SUBS) {
        sg_buf_puts(out, real[c].sub[sub]);
        return;
    }
    word(out, w, WORD_SUB, (uint64_t)c * w->n_sub + sub);
    sg_buf_putc(out, ' ');
    sg_buf_puts(out, kinds[sub % 8]);
}

static void kind_name(sg_buf *out, const sg_world *w, uint32_t line)
{
    const uint32_t c = sg_world_category(w, line), sub = line / w->n_line % w->n_sub, b = line % w->n_line;

    if (b >= ADJECTIVES || c >= REAL_CATEGORIES) {
        word(out, w, WORD_LINE, (uint64_t)c * w->n_line + b);
        sg_buf_putc(out, ' ');
    }
    if (c < REAL_CATEGORIES) { /* turned by subcategory, so that no adjective names a brand */
        sg_buf_puts(out, real[c].adjective[(b + 3 * sub) % ADJECTIVES]);
        sg_buf_putc(out, ' ');
    }
    sub_name(out, w, c, sub);
}

void sg_synth_line_name(sg_buf *out, const sg_world *w, uint32_t line)
{
    const uint32_t c = sg_world_category(w, line), sub = line / w->n_line % w->n_sub;

    category_name(out, w, c);
    sg_buf_puts(out, " > ");
    sub_name(out, w, c, sub);
    sg_buf_puts(out, " > ");
    kind_name(out, w, line);
}

static uint64_t brand_of(const sg_world *w, uint32_t line)
{
    return (uint64_t)sg_world_category(w, line) * w->n_line + line % w->n_line;
}

const char *const sg_synth_text_names[SG_SYNTH_TEXTS] = {"title", "brand", "categories"};

void sg_synth_text(sg_buf *out, const sg_world *w, uint32_t place, int column)
{
    const uint32_t line = sg_world_line_of(w, place), c = sg_world_category(w, line);
    const uint32_t j = place - sg_world_line(w, line).begin;
    const uint64_t size = sg_world_random(w, SG_SYNTH_ITEM, place, 0);

    switch (column) {
    case 0:
        word(out, w, WORD_BRAND, brand_of(w, line));
        sg_buf_putc(out, ' ');
        word(out, w, WORD_SERIES, brand_of(w, line) << 24 | j);
        sg_buf_putc(out, ' ');
        kind_name(out, w, line);
        sg_buf_puts(out, c < REAL_CATEGORIES ? " " : " No. ");
        if (c < REAL_CATEGORIES)
            sg_buf_puts(out, real[c].size[size % SIZES]);
        else
            sg_buf_putc(out, (char)('1' + size % 9));
        break;
    case 1:
        word(out, w, WORD_BRAND, brand_of(w, line));
        break;
    default:
        sg_synth_line_name(out, w, line);
    }
}
