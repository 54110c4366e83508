"""How large the thing that a prompt names usually is, so that a chair and a castle do not enter a scene at one size."""

from __future__ import annotations

import re

UNKNOWN_SIZE = 1.0
MODEL_SIZE = 0.2

# Largest extent in metres (height, width or length, whichever is most) → the nouns, singular; typical products,
# grown plants and adult animals.
_NOUNS_BY_SIZE: dict[float, str] = {
    0.02: "ring, die, screw, seed, bee, pill",
    0.03: "coin, button, acorn, strawberry, cherry, snail, marble, bullet, gem, nut",
    0.05: "egg, walnut, lighter, cupcake, plum, dart, domino",
    0.08: "apple, orange, tomato, lemon, peach, donut, doughnut, cookie, potato, onion, butterfly, ashtray, compass, "
    "key",
    0.1: "mug, cup, teacup, pear, burger, hamburger, sandwich, muffin, mushroom, mouse, frog, bulb, light bulb, "
    "grenade, rubber duck, crystal, croissant",
    0.12: "can, avocado, candle, glasses, sunglasses, alarm clock, camera, watch",
    0.15: "phone, smartphone, glass, wine glass, pen, pencil, spoon, potion, jar, bird, heart, goblet, necklace",
    0.2: "banana, fork, carrot, calculator, knife, skull, flower, book, carton, hot dog, wrench, pineapple, "
    "flowerpot, crown, corn, screwdriver",
    0.22: "football, soccer ball, ball, plate, pistol, handgun, bowl, bread, melon, cabbage, binoculars, dagger",
    0.25: "bottle, kettle, teapot, pumpkin, watermelon, basketball, jug, cake, pizza, helmet, hat, trophy, clock, "
    "toaster, revolver, pitcher, bomb, rose, toy, figurine, ham",
    0.3: "vase, shoe, boot, hammer, cactus, lantern, radio, trumpet, laptop, pot, pan, frying pan, globe, turtle, "
    "tulip, teddy bear, mask, saw, box",
    0.35: "keyboard, handbag, basket, printer, coffee machine, coffee maker, blender, mixer, tray, owl",
    0.4: "bag, chicken, rabbit, bucket, microwave, speaker, table lamp, desk lamp, bust, drone, duck, fish, "
    "toolbox, fan",
    0.45: "cat, lamp, backpack, rooster, hen, crate, vacuum cleaner, sign, stool, pillow",
    0.5: "suitcase, bedside table, nightstand, monitor, lobster, typewriter, torch, bouquet",
    0.6: "sink, washbasin, violin, skateboard, saxophone, houseplant, plant, axe, oven, stove, cooker, mailbox, "
    "bin, trash can, trashcan, dog",
    0.7: "cone, traffic cone, goose, eagle, accordion, drum, toilet, chest, treasure chest, shield, baby",
    0.8: "barrel, rock, boulder, penguin, hydrant, fire hydrant, cabinet, dresser, gravestone, tombstone, shovel, "
    "monkey, washing machine, dishwasher, pickaxe",
    0.85: "chair, rifle, shotgun, wheel, tire",
    0.95: "armchair, office chair, rocking chair, tv, television, guitar, sword, katana, radiator, crossbow, fox, "
    "anchor",
    1.0: "umbrella, child, goat, pig, wheelchair, stroller, cauldron, pedestal, dressing table",
    1.1: "coffee table, scooter, easel, snowman, harp, shopping cart, bow, wheelbarrow",
    1.2: "sheep, statue, trolley, wolf, window, kangaroo, cello, bush",
    1.4: "table, desk, workbench, deer, throne",
    1.5: "bench, fireplace, piano, bathtub, bath, floor lamp, boy, girl, goblin",
    1.7: "woman, lady, witch, princess, queen, zombie, skeleton, elf, scarecrow, robot, arcade machine",
    1.75: "person, man, human, character, soldier, knight, astronaut, wizard, warrior, king, pirate, ninja, bicycle, "
    "bike, fridge, refrigerator, mannequin, monster, alien, ostrich, figure",
    1.8: "bookcase, bookshelf, shelf, fence, surfboard, spear, vending machine, shower, bear, coffin, sarcophagus",
    1.9: "sofa, couch, loveseat, settee, tiger, lion, donkey, hedge",
    2.0: "wardrobe, closet, cupboard, door, motorcycle, motorbike, rug, carpet, pony, cannon, grandfather clock, "
    "ladder",
    2.1: "bed",
    2.3: "horse, unicorn, camel, cow, bull, gate, sculpture, phone booth, telephone booth",
    2.5: "column, pillar, shark, zebra, kart, go-kart, arch, cart",
    3.0: "dolphin, tent, canoe, kayak, hut, well, fountain, carriage, street sign, traffic light, rhino, "
    "rhinoceros, hippo, swing, pool table, stairs, crocodile",
    3.5: "tractor, wagon, igloo, staircase, shed",
    4.0: "car, sports car, racing car, race car, hatchback, coupe, convertible, buggy, rowing boat, kiosk, gazebo, "
    "wall",
    4.5: "sedan, taxi, cab, suv, jeep, elephant, giraffe, dragon",
    5.0: "pickup, pickup truck, boat, motorboat, forklift, ufo, satellite, street lamp, streetlight, street light, "
    "lamp post, mech, pool, swimming pool",
    6.0: "van, ambulance, minivan, camper, container, triceratops, garage",
    7.0: "tree, fir, pine, palm, willow, tank, truck, flagpole, excavator, bulldozer",
    8.0: "cabin, cottage, spaceship, spacecraft, stegosaurus, dinosaur",
    10.0: "house, home, oak, birch, airplane, aeroplane, plane, jet, helicopter, sailboat, barn, farm, building, "
    "shop, store, bridge, farmhouse, restaurant",
    12.0: "bus, yacht, chapel, tyrannosaurus, t-rex, villa",
    15.0: "whale, windmill, mansion, temple, tower, train, locomotive, tram, hangar",
    20.0: "church, lighthouse, rocket, factory, pyramid, warehouse, school, monument",
    30.0: "castle, ship, palace, submarine, cathedral, hospital, mosque, fortress",
    50.0: "ferry, airliner, skyscraper, stadium",
}

_SIZES: dict[str, float] = {
    noun: size for size, nouns in _NOUNS_BY_SIZE.items() for noun in (entry.strip() for entry in nouns.split(","))
}
_LONGEST = max(len(noun.split()) for noun in _SIZES)
_ENDS_OF_HEAD = re.compile(
    "with|without|of|in|on|at|for|from|by|under|over|near|beside|behind|inside|and|made|having|holding|wearing|carrying|"
    "pulling|riding|sitting|standing|that|which"
)
_SMALL_COPIES = frozenset(("toy", "miniature", "figurine", "lego", "dollhouse"))
_IRREGULAR_PLURALS = {
    "dice": "die",
    "women": "woman",
    "men": "man",
    "people": "person",
    "children": "child",
    "knives": "knife",
    "shelves": "shelf",
    "loaves": "loaf",
    "wolves": "wolf",
    "elves": "elf",
    "mice": "mouse",
    "geese": "goose",
    "leaves": "leaf",
    "bookshelves": "bookshelf",
}


def real_size(prompt: str) -> tuple[float, list[str]]:
    """The usual largest extent in metres of what the prompt names, and notes for the user.

    The head noun decides: the last known noun before the first preposition or verb ("a lamp on a table" is a lamp), or,
    where that part has none, of the parts after it ("a pair of shoes"). A toy or miniature of something large measures
    0.2 m. An unknown thing measures 1 m, and a note says so.
    """
    parts: list[list[str]] = [[]]
    for word in re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", prompt.lower()):
        if _ENDS_OF_HEAD.fullmatch(word):
            parts.append([])
        else:
            parts[-1].append(word)
    for words in parts:
        size = _last_known(words)
        if size is not None:
            return (min(size, MODEL_SIZE) if _SMALL_COPIES & set(words) else size), []
    return UNKNOWN_SIZE, ["The usual size of this is not known, so it is 1 m at its longest: scale it as needed."]


def _last_known(words: list[str]) -> float | None:
    """The size of the known noun that ends last, the longest of those ("coffee table" before "table")."""
    for end in range(len(words), 0, -1):
        for start in range(max(0, end - _LONGEST), end):
            for last in _singulars(words[end - 1]):
                if (size := _SIZES.get(" ".join([*words[start : end - 1], last]))) is not None:
                    return size
    return None


def _singulars(word: str) -> list[str]:
    """The word itself, then what it may be the plural of."""
    if word in _IRREGULAR_PLURALS:
        return [_IRREGULAR_PLURALS[word]]
    candidates = [word]
    if word.endswith("ies"):
        candidates.append(word[:-3] + "y")
    if word.endswith("es"):
        candidates.append(word[:-2])
    if word.endswith("s"):
        candidates.append(word[:-1])
    return candidates
