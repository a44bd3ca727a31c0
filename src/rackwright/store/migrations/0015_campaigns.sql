-- Campaigns: verbs that are said to many machines, to each at its turn; and the budgets of places.

-- At most so many machines at the same time: at one place of a kind, or (empty) at each that has no budget of its own.
CREATE TABLE budget (
    kind text COLLATE "C" NOT NULL,
    place text COLLATE "C" NOT NULL DEFAULT '',
    amount integer NOT NULL CHECK (amount >= 0),
    PRIMARY KEY (kind, place)
);

CREATE TABLE campaign (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    document jsonb NOT NULL
);

-- Machines of campaigns. Without an activity they wait for their turn, in the order of their numbers.
CREATE TABLE campaign_turn (
    scope_id bigint PRIMARY KEY REFERENCES scope ON DELETE CASCADE,
    campaign_id bigint NOT NULL REFERENCES campaign ON DELETE CASCADE,
    number integer NOT NULL,
    wave smallint NOT NULL,
    places text[] COLLATE "C" NOT NULL,
    activity text
) WITH (fillfactor = 80);
CREATE INDEX campaign_turn_waiting ON campaign_turn (campaign_id, number) WHERE activity IS NULL;
CREATE INDEX campaign_turn_begun ON campaign_turn (campaign_id, wave) WHERE activity IS NOT NULL;
