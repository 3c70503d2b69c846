"""Decisions: bandits, policy gradients, value functions from stored play, imitation and control.

A policy is scored by its mean return with the likeliest action, between that of chance and that of a known good one.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Categorical, Normal

from .data import accuracy, agreement, batches, determination, digits, explained, majority, perceptron, predict, split
from .setup import Setup, setup


@setup
def digits_bandit_reinforce(seed: int) -> Setup:
    """Digits as a contextual bandit: an answer is drawn, and all that is told is whether it was right."""
    data = digits(seed, flat=True)
    model = perceptron(64, 64, 10)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        policy = Categorical(logits=model(batch[0]))
        answers = policy.sample()
        reward = (answers == batch[1]).float()
        advantage = reward - reward.mean()
        return -(advantage * policy.log_prob(answers)).mean() - 0.01 * policy.entropy().mean()

    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=128, drop_last=True),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=5e-3),
        steps=500,
        score=accuracy(data.test_x, data.test_y),
        trivial=majority(data.test_y),
    )


@setup
def digits_logged_bandit(seed: int) -> Setup:
    """A policy from another's logged answers, by weights of inverse propensity that are clipped and normalised."""
    data = digits(seed, flat=True)
    generator = torch.Generator().manual_seed(seed)
    x, y = data.x.repeat(4, 1), data.y.repeat(4)
    tried = torch.where(
        torch.rand(len(y), generator=generator) < 0.3, y, torch.randint(0, 10, y.shape, generator=generator)
    )
    propensity = torch.where(tried == y, 0.3 + 0.07, 0.07)
    model = perceptron(64, 64, 10)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        images, actions, chance, reward = batch
        weight = (model(images).softmax(1).gather(1, actions[:, None])[:, 0] / chance).clamp(max=10.0)
        return -(weight * reward).sum() / weight.sum()

    return Setup(
        model=model,
        loader=batches(x, tried, propensity, (tried == y).float(), seed=seed, size=128),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=400,
        score=accuracy(data.test_x, data.test_y),
        trivial=majority(data.test_y),
    )


SIDE, HORIZON = 5, 14
MOVES = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]])


def _seen(agent: Tensor, goal: Tensor) -> Tensor:
    """Both places as one-hot vectors."""
    cells = [place[:, 0] * SIDE + place[:, 1] for place in (agent, goal)]
    return torch.cat([F.one_hot(cell, SIDE * SIDE) for cell in cells], 1).float()


def _moved(agent: Tensor, goal: Tensor, action: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where a move leads, its reward, and whether the goal was reached."""
    agent = (agent + MOVES[action]).clamp(0, SIDE - 1)
    reached = (agent == goal).all(1)
    return agent, torch.where(reached, 1.0, -0.05), reached


class Starts:
    """An endless source of places to start from and to go to."""

    def __init__(self, seed: int, size: int = 64) -> None:
        self.generator, self.size = torch.Generator().manual_seed(seed), size

    def draw(self, size: int) -> tuple[Tensor, Tensor]:
        """Two different cells for every game."""
        agent = torch.randint(0, SIDE**2, (size,), generator=self.generator)
        goal = (agent + torch.randint(1, SIDE**2, (size,), generator=self.generator)) % SIDE**2
        return torch.stack([agent // SIDE, agent % SIDE], 1), torch.stack([goal // SIDE, goal % SIDE], 1)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Fresh games for ever."""
        while True:
            yield self.draw(self.size)


def _play(choose: Callable[[Tensor], Tensor], agent: Tensor, goal: Tensor) -> dict[str, Tensor]:
    """Play all games to the end: what was seen, done and earned at each moment, and which games still ran."""
    running = torch.ones(len(agent))
    kept: dict[str, list[Tensor]] = {"seen": [], "action": [], "reward": [], "running": [], "next": [], "done": []}
    for _ in range(HORIZON):
        seen = _seen(agent, goal)
        action = choose(seen)
        agent, reward, reached = _moved(agent, goal, action)
        moment = (seen, action, reward * running, running, _seen(agent, goal), reached.float())
        for parts, part in zip(kept.values(), moment, strict=True):
            parts.append(part)
        running = running * (~reached).float()
    return {name: torch.stack(parts) for name, parts in kept.items()}


def _grid_returns(seed: int, read: Callable[[nn.Module, Tensor], Tensor]) -> dict:
    """The score of a player of the grid, and the returns of chance and of the shortest way."""
    agent, goal = Starts(seed + 1000).draw(300)
    distance = (agent - goal).abs().sum(1)
    generator = torch.Generator().manual_seed(seed)
    chance = _play(lambda seen: torch.randint(0, 4, (len(seen),), generator=generator), agent, goal)

    def score(model: nn.Module) -> float:
        with torch.no_grad():
            return _play(lambda seen: read(model, seen).argmax(1), agent, goal)["reward"].sum(0).mean().item()

    best = (1 - 0.05 * (distance - 1)).mean().item()
    return {"score": score, "trivial": chance["reward"].sum(0).mean().item(), "best": best}


def _returns(reward: Tensor, discount: float) -> Tensor:
    """The discounted sum of what is still to come."""
    total, sums = torch.zeros_like(reward[0]), []
    for now in reversed(range(len(reward))):
        total = reward[now] + discount * total
        sums.append(total)
    return torch.stack(sums[::-1])


@setup
def grid_reinforce(seed: int) -> Setup:
    """REINFORCE on a grid, with standardised returns as the advantage and a bonus for entropy."""
    model = perceptron(50, 64, 4, activation=nn.Tanh)

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        with torch.no_grad():
            games = _play(lambda seen: Categorical(logits=model(seen)).sample(), *batch)
        live = games["running"] > 0
        returns = _returns(games["reward"], 0.95)[live]
        advantage = (returns - returns.mean()) / (returns.std() + 1e-6)
        policy = Categorical(logits=model(games["seen"][live]))
        return -(advantage * policy.log_prob(games["action"][live])).mean() - 0.01 * policy.entropy().mean()

    return Setup(
        model=model,
        loader=Starts(seed),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=0.01),
        steps=250,
        **_grid_returns(seed, lambda model, seen: model(seen)),
    )


class ActorCritic(nn.Module):
    """A shared body with a policy and a value."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(50, 64), nn.Tanh())
        self.policy, self.value = nn.Linear(64, 4), nn.Linear(64, 1)
        nn.init.orthogonal_(self.policy.weight, 0.01)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of the actions and the value of the state."""
        hidden = self.body(seen)
        return self.policy(hidden), self.value(hidden).squeeze(-1)


@setup
def grid_actor_critic(seed: int) -> Setup:
    """Advantage actor-critic with one-step bootstrapping and RMSprop, the gradient's norm clipped."""
    model = ActorCritic()

    def step(model: nn.Module, batch: tuple[Tensor, Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        with torch.no_grad():
            games = _play(lambda seen: Categorical(logits=model(seen)[0]).sample(), *batch)
            live = games["running"] > 0
            following = model(games["next"][live])[1]
            target = games["reward"][live] + 0.95 * (1 - games["done"][live]) * following
        logits, value = model(games["seen"][live])
        policy = Categorical(logits=logits)
        gain = policy.log_prob(games["action"][live]) * (target - value).detach()
        loss = -gain.mean() + 0.5 * F.mse_loss(value, target) - 0.01 * policy.entropy().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss

    return Setup(
        model=model,
        loader=Starts(seed),
        loss="mse",
        optimizer=torch.optim.RMSprop(model.parameters(), lr=3e-3),
        step=step,
        steps=300,
        **_grid_returns(seed, lambda model, seen: model(seen)[0]),
    )


class WithTarget(nn.Module):
    """A network and the slower copy that its targets come from."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.online, self.target = network, copy.deepcopy(network).requires_grad_(False)

    def forward(self, seen: Tensor) -> Tensor:
        """The values of the actions."""
        return self.online(seen)


@setup
def grid_stored_q_learning(seed: int) -> Setup:
    """Deep Q-learning on a buffer of random play, the target network copied every 25 steps."""
    generator = torch.Generator().manual_seed(seed)
    games = _play(lambda seen: torch.randint(0, 4, (len(seen),), generator=generator), *Starts(seed).draw(1200))
    live = games["running"] > 0
    buffer = [games[name][live] for name in ("seen", "action", "reward", "next", "done")]
    model = WithTarget(perceptron(50, 96, 96, 4))
    calls = itertools.count(1)

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        seen, action, reward, following, done = batch
        with torch.no_grad():
            goal = reward + 0.9 * (1 - done) * model.target(following).amax(1)
        loss = F.smooth_l1_loss(model(seen).gather(1, action[:, None])[:, 0], goal)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if next(calls) % 25 == 0:
            model.target.load_state_dict(model.online.state_dict())
        return loss

    return Setup(
        model=model,
        loader=batches(*buffer, seed=seed, size=128),
        loss="mse",
        optimizer=torch.optim.Adam(model.online.parameters(), lr=2e-3),
        step=step,
        steps=900,
        **_grid_returns(seed, lambda model, seen: model(seen)),
    )


@setup
def grid_imitation(seed: int) -> Setup:
    """Behaviour cloning of an expert who sometimes errs."""
    agent, goal = Starts(seed).draw(3000)
    gap = goal - agent
    vertical = gap[:, 0].abs() >= gap[:, 1].abs()
    action = torch.where(vertical, torch.where(gap[:, 0] > 0, 0, 1), torch.where(gap[:, 1] > 0, 2, 3))
    generator = torch.Generator().manual_seed(seed)
    action = torch.where(
        torch.rand(3000, generator=generator) < 0.1, torch.randint(0, 4, (3000,), generator=generator), action
    )
    model = perceptron(50, 64, 4)
    return Setup(
        model=model,
        loader=batches(_seen(agent, goal), action, seed=seed),
        loss="cross_entropy",
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01),
        steps=300,
        **_grid_returns(seed, lambda model, seen: model(seen)),
    )


TIME = 0.2


def _pushed(state: Tensor, force: Tensor) -> Tensor:
    """A mass on a line, pushed by a bounded force."""
    speed = state[:, 1] + TIME * force.clamp(-1, 1)
    return torch.stack([state[:, 0] + TIME * speed, speed], 1)


def _cost(state: Tensor, force: Tensor) -> Tensor:
    return state[:, 0].square() + 0.1 * state[:, 1].square() + 0.01 * force.clamp(-1, 1).square()


class Masses:
    """An endless source of places and speeds to start from."""

    def __init__(self, seed: int, size: int = 64) -> None:
        self.generator, self.size = torch.Generator().manual_seed(seed), size

    def __iter__(self) -> Iterator[Tensor]:
        """Starts for ever."""
        while True:
            yield torch.rand(self.size, 2, generator=self.generator) * torch.tensor([2.0, 1.0]) - torch.tensor(
                [1.0, 0.5]
            )


def _control(seed: int, push: Callable[[nn.Module, Tensor], Tensor], length: int = 30) -> dict:
    """The negative cost of a controller, between that of doing nothing and that of a good linear one."""
    start = next(iter(Masses(seed + 1000, 300)))

    def negative_cost(push: Callable[[Tensor], Tensor]) -> float:
        state, total = start, 0.0
        with torch.no_grad():
            for _ in range(length):
                force = push(state)
                total -= _cost(state, force).mean().item()
                state = _pushed(state, force)
        return total / length

    return {
        "score": lambda model: negative_cost(lambda state: push(model, state)),
        "trivial": negative_cost(lambda state: torch.zeros(len(state))),
        "best": negative_cost(lambda state: -2.5 * state[:, 0] - 2 * state[:, 1]),
    }


class GaussianPolicy(nn.Module):
    """A policy with a learned spread and a value network of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.value = (perceptron(2, 32, 32, 1, activation=nn.Tanh) for _ in range(2))
        self.log_deviation = nn.Parameter(torch.full((1,), -0.5))

    def forward(self, state: Tensor) -> tuple[Normal, Tensor]:
        """The distribution of the force and the value of the state."""
        return Normal(self.mean(state)[:, 0], self.log_deviation.exp()), self.value(state)[:, 0]


@setup
def mass_proximal_policy(seed: int) -> Setup:
    """Proximal policy optimisation: generalised advantages, four passes over each rollout, the ratio clipped."""
    model = GaussianPolicy()

    def step(model: nn.Module, batch: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
        state, kept = batch, []
        with torch.no_grad():
            for _ in range(30):
                policy, value = model(state)
                force = policy.sample()
                kept.append((state, force, policy.log_prob(force), value, -_cost(state, force)))
                state = _pushed(state, force)
            states, forces, chances, values, rewards = (torch.stack(part) for part in zip(*kept, strict=True))
            ahead = torch.cat([values[1:], model(state)[1][None]])
            advantage = _returns(rewards + 0.95 * ahead - values, 0.95 * 0.95)
            goal = (advantage + values).flatten()
            advantage = ((advantage - advantage.mean()) / advantage.std()).flatten()
        states, forces, chances = states.flatten(0, 1), forces.flatten(), chances.flatten()
        for _ in range(4):
            for rows in torch.randperm(len(states)).split(640):
                policy, value = model(states[rows])
                ratio = (policy.log_prob(forces[rows]) - chances[rows]).exp()
                gain = torch.minimum(ratio * advantage[rows], ratio.clamp(0.8, 1.2) * advantage[rows])
                loss = -gain.mean() + 0.5 * F.mse_loss(value, goal[rows])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
        return loss

    return Setup(
        model=model,
        loader=Masses(seed),
        loss="mse",
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3, eps=1e-5),
        step=step,
        steps=40,
        **_control(seed, lambda model, state: model(state)[0].mean),
    )


@setup
def mass_through_simulator(seed: int) -> Setup:
    """A controller trained by differentiating through twenty steps of a known simulator."""
    model = nn.Sequential(perceptron(2, 32, 1, activation=nn.Tanh), nn.Tanh(), nn.Flatten(0))

    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        state, total = batch, 0.0
        for _ in range(20):
            force = model(state)
            total = total + _cost(state, force).mean()
            state = _pushed(state, force)
        return total / 20

    return Setup(
        model=model,
        loader=Masses(seed),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=5e-3),
        steps=200,
        **_control(seed, lambda model, state: model(state)),
    )


@setup
def mass_double_q_learning(seed: int) -> Setup:
    """Double Q-learning with three forces on stored random play; the target follows slowly."""
    generator = torch.Generator().manual_seed(seed)
    state = (torch.rand(8000, 2, generator=generator) - 0.5) * 4
    action = torch.randint(0, 3, (8000,), generator=generator)
    force = action.float() - 1
    reward, following = -_cost(state, force), _pushed(state, force)
    model = WithTarget(perceptron(2, 64, 64, 3))

    def step(model: nn.Module, batch: list[Tensor], optimizer: torch.optim.Optimizer) -> Tensor:
        state, action, reward, following = batch
        with torch.no_grad():
            choice = model(following).argmax(1, keepdim=True)
            goal = reward + 0.9 * model.target(following).gather(1, choice)[:, 0]
        loss = F.mse_loss(model(state).gather(1, action[:, None])[:, 0], goal)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.online.parameters(), 10.0)
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(model.target.parameters(), model.online.parameters(), strict=True):
                slow.lerp_(fast, 0.02)
        return loss

    return Setup(
        model=model,
        loader=batches(state, action, reward, following, seed=seed, size=256),
        loss="mse",
        optimizer=torch.optim.Adam(model.online.parameters(), lr=2e-3),
        step=step,
        steps=1000,
        **_control(seed, lambda model, state: model(state).argmax(1).float() - 1),
    )


@setup
def walk_temporal_difference(seed: int) -> Setup:
    """Semi-gradient TD(0): the value of every place of a random walk that ends at 0 or at 1, where one is paid."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.rand(6000, 1, generator=generator)
    ahead = place + 0.4 * torch.rand(6000, 1, generator=generator) - 0.2
    ended = (ahead <= 0) | (ahead >= 1)
    reward = (ahead >= 1).float()
    model = perceptron(1, 32, 32, 1, activation=nn.Tanh)

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        place, ahead, reward, ended = batch
        with torch.no_grad():
            goal = reward + (1 - ended) * model(ahead)
        return F.mse_loss(model(place), goal)

    # Without discount the value is the chance of leaving at 1, which simulated walks tell.
    held_out = torch.linspace(0.02, 0.98, 49)[:, None]
    walk = held_out.repeat(1, 400)
    for _ in range(400):
        inside = (walk > 0) & (walk < 1)
        walk = torch.where(inside, walk + 0.4 * torch.rand(walk.shape, generator=generator) - 0.2, walk)
    truth = (walk >= 1).float().mean(1, keepdim=True)
    return Setup(
        model=model,
        loader=batches(place, ahead, reward, ended.float(), seed=seed, size=128),
        loss=loss,
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3),
        steps=1000,
        score=determination(held_out, truth),
        trivial=0.0,
    )


class Ensemble(nn.Module):
    """Several models of the motion at once, each with weights of its own, that predict the change of state."""

    def __init__(self, members: int = 4) -> None:
        super().__init__()
        self.members = nn.ModuleList(perceptron(5, 48, 48, 4, activation=nn.SiLU) for _ in range(members))

    def forward(self, inputs: Tensor) -> Tensor:
        """Every member's prediction, (members, batch, 4)."""
        return torch.stack([member(inputs) for member in self.members])


@setup
def pole_world_model(seed: int) -> Setup:
    """An ensemble that learns how a cart and its pole move, each member from a random part of the batch."""
    generator = torch.Generator().manual_seed(seed)
    state = torch.randn(4000, 4, generator=generator) * torch.tensor([1.0, 1.0, 0.5, 1.0])
    force = 2 * torch.rand(4000, generator=generator) - 1
    angle, spin = state[:, 2], state[:, 3]
    push = (10 * force + 0.05 * spin.square() * angle.sin()) / 1.1
    turning = (9.8 * angle.sin() - angle.cos() * push) / (0.5 * (4 / 3 - 0.1 * angle.cos().square() / 1.1))
    change = torch.stack([state[:, 1], push - 0.05 * turning * angle.cos() / 1.1, spin, turning], 1)
    change = change / change.std(0) + 0.05 * torch.randn(4000, 4, generator=generator)
    data = split(torch.cat([state, force[:, None]], 1), change, seed)
    model = Ensemble()

    def loss(model: nn.Module, batch: list[Tensor]) -> Tensor:
        errors = (model(batch[0]) - batch[1]).square().mean(2)
        kept = (torch.rand(errors.shape) < 0.8).float()
        return (errors * kept).sum() / kept.sum()

    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=128),
        loss=loss,
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3),
        steps=400,
        score=lambda model: explained(predict(model, data.test_x).mean(0), data.test_y),
        trivial=0.0,
    )


@setup
def preferences_reward_model(seed: int) -> Setup:
    """A reward from choices between two pieces of play, by the likelihood of Bradley and Terry."""
    generator = torch.Generator().manual_seed(seed)
    play = torch.randn(3000, 2, 8, 4, generator=generator)
    worth = (torch.sin(play[..., 0]) + play[..., 1] * play[..., 2]).sum(2)
    prefers = (torch.rand(3000, generator=generator) < torch.sigmoid(2 * (worth[:, 0] - worth[:, 1]))).float()
    data = split(play, prefers, seed)
    model = nn.Sequential(perceptron(4, 64, 64, 1), nn.Flatten(2))

    def margin(rewards: Tensor) -> Tensor:
        returns = rewards.view(-1, 2, 8).sum(2)
        return returns[:, 0] - returns[:, 1]

    return Setup(
        model=model,
        loader=batches(data.x, data.y, seed=seed, size=64),
        loss=lambda rewards, chosen: F.binary_cross_entropy_with_logits(margin(rewards), chosen),
        optimizer=torch.optim.Adam(model.parameters(), lr=2e-3),
        steps=400,
        score=lambda model: agreement(margin(predict(model, data.test_x)) > 0, data.test_y > 0),
        trivial=majority(data.test_y.long()),
        best=0.93,
    )
